"""Carries requests to the router over HTTP, on one session with kept connections."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2
from yarl import URL

from room_agent.core.router_errors import RouterAway

CONNECT_TIMEOUT_S = 3.0
KEPT_S = 45.0
"""The lifetime of an idle connection. A quiet room pauses longer than the default of 15 s; Serve keeps it for 90."""
MAX_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class RouterResponse:
    """A whole response. Its header names are in lower case, or in any case if the mapping ignores it."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class RouterTransport(Protocol):
    """The way to the router. Tests replace it with one that needs no socket."""

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> RouterResponse:
        """Return the response, whatever its status, within `timeout_s`. Raises RouterAway."""


class HttpTransport:
    """The router at a URL, for any number of rooms in one event loop. Its owner closes it.

    `max_connections` 0 is no limit. Redirects are never followed: a request carries a credential.
    """

    def __init__(self, url: str, max_connections: int = MAX_CONNECTIONS) -> None:
        self._url = url.rstrip("/")
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> RouterResponse:
        """Return the response, whatever its status, within `timeout_s`. Raises RouterAway."""
        async with self.response(method, path, headers, body, timeout_s) as response:
            return RouterResponse(response.status, response.headers, await response.read())

    @asynccontextmanager
    async def response(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield a response once its headers are there; the whole block has `timeout_s`. Raises RouterAway."""
        try:
            url = URL(self._url + path, encoded=True)
            answering = self._opened().request(method, url, headers=headers, data=body or None, allow_redirects=False)
            async with asyncio.timeout(timeout_s), answering as response:
                yield response
        # A ValueError is a URL that cannot be parsed, or a credential that no header can hold.
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            # Without the cause: its text may hold the URL and the headers.
            raise RouterAway(f"The router did not answer: {type(error).__name__}.") from None

    async def aclose(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        """Return the session, opened on first use: aiohttp requires a running event loop."""
        if self._closed:
            raise RouterAway("The connection to the router is closed.")
        if self._session is None:
            context = tls() if self._url.startswith("https:") else True
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, limit=self._max_connections, keepalive_timeout=KEPT_S),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                # Not `trust_env`, which would also read passwords from ~/.netrc.
                proxy=proxy_of(self._url),
            )
        return self._session


@cache
def tls() -> ssl.SSLContext:
    """Return the process's one TLS context: loading the certificates blocks the event loop for a fifth of a second."""
    return httpx2.create_ssl_context()


def proxy_of(url: str) -> str | None:
    """Return the proxy that the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY) names for a URL."""
    target, proxies = URL(url), getproxies()
    proxy = proxies.get(target.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(target.authority):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
