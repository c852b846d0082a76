"""The aiohttp session passed to a vendor's SDK: a connect timeout, kept connections, and no redirects."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

import aiohttp
import httpx2

from deployments.providers.errors import VendorResponse, from_reply
from deployments.providers.timeouts import CONNECT_TIMEOUT_S, KEPT_S
from deployments.providers.vendor_call import mark_sent, mark_sent_hook

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

LIMITS = httpx2.Limits(max_connections=1_000, keepalive_expiry=KEPT_S)
"""For an SDK that opens its own session: above the concurrency of a replica. None would mean 100 there."""

HOOKS = {"request": [mark_sent_hook]}
"""For the session of an SDK: its requests count as sent."""

Check = Callable[[aiohttp.ClientResponse], Awaitable[None]]


class _Connector(aiohttp.TCPConnector):
    """A connector with its own connect timeout: Google's and Voyage's SDKs set only one for the whole request."""

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 aiohttp's signature
    ) -> Connection:
        bounded = aiohttp.ClientTimeout(
            total=timeout.total,
            connect=timeout.connect,
            sock_read=timeout.sock_read,
            sock_connect=CONNECT_TIMEOUT_S,
        )
        return await super().connect(req, traces, bounded)


class Responses:
    """The open responses of one request, which the adapter closes itself.

    Google's SDK holds a stream's response in a reference cycle. A stream that is abandoned early would stay connected,
    and billed, until the next garbage collection.
    """

    def __init__(self) -> None:
        self._open: list[aiohttp.ClientResponse] = []
        self._closed = False

    def watch(self) -> None:
        """Collect the responses that this task's next request opens."""
        _watching.set(self)

    def close(self) -> None:
        self._closed = True
        for response in self._open:
            response.close()

    def opened(self, response: aiohttp.ClientResponse) -> None:
        if not self._closed:
            self._open.append(response)


_watching: ContextVar[Responses | None] = ContextVar("watching", default=None)


async def _note(session: aiohttp.ClientSession, context: object, ended: aiohttp.TraceRequestEndParams) -> None:
    watching = _watching.get()
    if watching is not None:
        watching.opened(ended.response)


async def _mark(session: aiohttp.ClientSession, context: object, sent: aiohttp.TraceRequestHeadersSentParams) -> None:
    mark_sent()


async def _stay(session: object, context: object, redirected: aiohttp.TraceRequestRedirectParams) -> None:
    # aiohttp would follow the redirect and drop only the `authorization` header: Google's key is in another one.
    redirected.response.close()
    raise from_reply(VendorResponse(status=redirected.response.status), "first_token")


class Session:
    """One session for the life of a replica, opened on first use: aiohttp requires a running event loop.

    `check` receives each response before the SDK does, and may raise.
    """

    def __init__(self, check: Check | None = None) -> None:
        self._check = check
        self._session: aiohttp.ClientSession | None = None

    def get(self) -> aiohttp.ClientSession:
        if self._session is None:
            # The deployment bounds the concurrency (max_ongoing_requests), so the pool has no limit.
            trace = aiohttp.TraceConfig()
            trace.on_request_headers_sent.append(_mark)
            trace.on_request_end.append(_note)
            trace.on_request_redirect.append(_stay)
            self._session = aiohttp.ClientSession(
                connector=_Connector(limit=0, keepalive_timeout=KEPT_S),
                trace_configs=[trace],
                raise_for_status=self._check or False,
            )
        return self._session

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
