"""The transport takes its proxy from the environment, and sends nothing after its end."""

from __future__ import annotations

import os

import pytest

from room_agent.core.router_errors import RouterAway
from room_agent.core.router_transport import HttpTransport, proxy_of


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, "http://router:8000", None),
        ({"HTTP_PROXY": "http://proxy:3128"}, "http://router:8000", "http://proxy:3128"),
        ({"HTTP_PROXY": "http://proxy:3128"}, "https://router", None),
        ({"HTTPS_PROXY": "proxy:3128"}, "https://router", "http://proxy:3128"),
        ({"ALL_PROXY": "http://proxy:3128"}, "https://router", "http://proxy:3128"),
        ({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "router"}, "http://router:8000", None),
        ({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "router:9000"}, "http://router:8000", "http://proxy:3128"),
        ({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "*"}, "http://router:8000", None),
    ],
)
def test_the_proxy_is_the_environments(
    variables: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_of(url) == proxy


async def test_a_closed_transport_sends_nothing_more() -> None:
    transport = HttpTransport("http://router.invalid")
    await transport.aclose()
    with pytest.raises(RouterAway, match="closed"):
        await transport.request("GET", "/", {}, b"", 1.0)


@pytest.mark.parametrize("url", ["http://[", "http://", "ftp://router"])
async def test_a_url_that_cannot_be_called_is_a_router_that_is_away(url: str) -> None:
    transport = HttpTransport(url)
    with pytest.raises(RouterAway):
        await transport.request("GET", "/", {}, b"", 1.0)
    await transport.aclose()
