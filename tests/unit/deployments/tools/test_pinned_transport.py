"""Requests go to the address that was checked, whatever the name resolves to later."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

import httpx2

from deployments.tools.addresses import ToolHost
from deployments.tools.pinned_transport import PinnedTransport
from routing.errors import ToolAddressRefused, ToolError

HOST = ToolHost(name="tools.example.com", port=443, internal=False)
URL = "https://tools.example.com/mcp"


class Recorder(httpx2.AsyncBaseTransport):
    """Records the requests as they would leave."""

    def __init__(self, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.sent: list[tuple[str, str, str]] = []
        self._status = status
        self._headers = headers or {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        sni = str(request.extensions.get("sni_hostname"))
        self.sent.append((str(request.url), request.headers["host"], sni))
        return httpx2.Response(self._status, headers=self._headers, stream=httpx2.ByteStream(b"y" * 50))


class Resolver:
    """Resolves a name to another address at each call."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = list(addresses)
        self.calls = 0

    async def __call__(self, name: str, port: int) -> Sequence[str]:
        self.calls += 1
        return [self._addresses.pop(0)]


async def status_of(transport: PinnedTransport, url: str = URL) -> int:
    async with httpx2.AsyncClient(transport=transport) as http:
        return (await http.get(url)).status_code


def transport(resolver: Resolver, inner: Recorder, max_bytes: int = 1_000) -> PinnedTransport:
    return PinnedTransport(HOST, max_bytes, ssl.create_default_context(), resolver, inner)


async def test_every_request_goes_to_the_first_checked_address_under_the_servers_name() -> None:
    inner, resolver = Recorder(), Resolver("93.184.216.34", "127.0.0.1")
    pinned = transport(resolver, inner)
    async with httpx2.AsyncClient(transport=pinned) as http:
        for _ in range(2):
            response = await http.get(URL)
            assert response.status_code == 200 and str(response.request.url) == URL
    assert resolver.calls == 1
    assert inner.sent == [("https://93.184.216.34/mcp", "tools.example.com", "tools.example.com")] * 2


async def test_nothing_is_sent_to_a_forbidden_address() -> None:
    inner = Recorder()
    pinned = transport(Resolver("10.0.0.1"), inner)
    assert await status_of(pinned) == 502
    assert inner.sent == [] and isinstance(pinned.refusal, ToolAddressRefused)


async def test_a_request_to_another_host_or_port_is_refused() -> None:
    for url in ("https://other.example.com/", "https://tools.example.com:444/", "http://tools.example.com/"):
        inner = Recorder()
        pinned = transport(Resolver("93.184.216.34"), inner)
        assert await status_of(pinned, url) == 502
        assert inner.sent == [] and isinstance(pinned.refusal, ToolAddressRefused)


async def test_a_redirect_a_compressed_and_a_long_answer_are_refused() -> None:
    redirect = transport(Resolver("93.184.216.34"), Recorder(308, {"location": "https://tools.example.com/x"}))
    assert await status_of(redirect) == 502 and isinstance(redirect.refusal, ToolAddressRefused)
    packed = transport(Resolver("93.184.216.34"), Recorder(200, {"content-encoding": "br"}))
    assert await status_of(packed) == 502 and isinstance(packed.refusal, ToolError)
    long = transport(Resolver("93.184.216.34"), Recorder(), max_bytes=49)
    try:
        await status_of(long)
    except httpx2.StreamError:
        pass
    assert isinstance(long.refusal, ToolError)
