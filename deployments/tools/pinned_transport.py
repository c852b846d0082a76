"""Send requests to a tool's server at an address that was checked, and read no more of an answer than its limit."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import httpx2

from deployments.tools.addresses import ToolHost, checked_addresses
from routing.errors import ToolAddressRefused, ToolError

CONNECT_TIMEOUT_S = 3.0
IO_TIMEOUT_S = 15.0
"""The longest pause within an answer. The whole call has a deadline of its own, which is shorter by default."""
MAX_CONTAINERS = 10_000
"""The most brackets that open in an answer: 240 kB of empty lists would hold the event loop for a quarter of a second
(2 shared cores, 2026-11-30)."""
FAILED = 502
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class PinnedTransport(httpx2.AsyncBaseTransport):
    """The transport to one host. It resolves the name once, checks all addresses, and connects to a checked one.

    The name stays in the request's `Host` and in the certificate's check. Nobody's redirect is followed, no proxy of
    the environment is used, and no compressed answer is read. An error is a response with status 502, because the MCP
    client ends its whole task group on an exception of its transport.
    """

    def __init__(
        self,
        host: ToolHost,
        max_bytes: int,
        tls: ssl.SSLContext,
        resolve: Resolve | None = None,
        inner: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """`inner` sends a request to an address; the default opens connections."""
        self._host = host
        self._max_bytes = max_bytes
        self._resolve = resolve or resolve_host
        self._inner = inner or httpx2.AsyncHTTPTransport(verify=tls, trust_env=False)
        self._address: str | None = None
        self.refusal: ToolError | None = None
        """The first error of this transport, which the client does not pass on."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            return await self._send(request)
        except ToolError as error:
            self._refuse(error)
        except (httpx2.HTTPError, OSError, ValueError) as error:
            self._refuse(ToolError(f"The tool's server was not reached: {type(error).__name__}."))
        return httpx2.Response(FAILED, request=request)

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        if (url.host.rstrip(".").lower(), port) != (self._host.name, self._host.port):
            raise ToolAddressRefused("The tool's server led the request to another host.")
        request.url = url.copy_with(host=await self._checked_address())
        request.extensions = {**request.extensions, "sni_hostname": self._host.name}
        request.headers["accept-encoding"] = "identity"
        response = await self._inner.handle_async_request(request)
        # A redirect of the response is relative to the name.
        request.url = url
        if 300 <= response.status_code < 400:
            await response.aclose()
            raise ToolAddressRefused("The tool's server answered with a redirect, which is not followed.")
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            await response.aclose()
            raise ToolError("The tool's server compressed its answer unasked.")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _LimitedStream(response.stream, self._max_bytes, self._refuse)
        return response

    async def _checked_address(self) -> str:
        if self._address is None:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    resolved = await self._resolve(self._host.name, self._host.port)
            except (OSError, UnicodeError, TimeoutError):
                raise ToolError("The host of the tool's server was not found.") from None
            self._address = checked_addresses(self._host, resolved)[0]
        return self._address

    def _refuse(self, error: ToolError) -> None:
        self.refusal = self.refusal or error

    async def aclose(self) -> None:
        await self._inner.aclose()


class _LimitedStream(httpx2.AsyncByteStream):
    """The body of a response, which ends with an error at its limit."""

    def __init__(self, stream: httpx2.AsyncByteStream, max_bytes: int, on_refused: Callable[[ToolError], None]) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._on_refused = on_refused

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = containers = 0
        try:
            async for chunk in self._stream:
                size += len(chunk)
                if size > self._max_bytes:
                    self._on_refused(ToolError(f"The tool's server answered with more than {self._max_bytes} bytes."))
                    # One of the errors that the MCP client expects.
                    raise httpx2.StreamError("too long")
                containers += chunk.count(b"[") + chunk.count(b"{")
                if containers > MAX_CONTAINERS:
                    self._on_refused(ToolError("The tool's server answered with too many objects and lists."))
                    raise httpx2.StreamError("too many")
                yield chunk
        except httpx2.HTTPError as error:
            self._on_refused(ToolError(f"The connection to the tool's server broke: {type(error).__name__}."))
            raise httpx2.StreamError("broken") from None

    async def aclose(self) -> None:
        await self._stream.aclose()


async def resolve_host(name: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, in the order of the system; raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for _, _, _, _, address in found]
