"""Time the router's answers to a synthetic room: the vendor's part, and the first text of a streamed chat."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp

from room_agent.core.router_client import (
    FRAME_TIMEOUT_S,
    JSON,
    OPEN_TIMEOUT_S,
    Description,
    RouterClient,
    RouterReply,
    as_json,
    json_object,
    parse,
    refusal,
    send,
)
from room_agent.core.router_errors import RouterAway, RouterError
from room_agent.core.router_transport import HttpTransport, RouterResponse

TURNED_AWAY = frozenset({402, 429, 503})
"""The app sheds with these; every other refusal is a failure."""
_VENDOR = re.compile(r"\bvendor;dur=([0-9.]+)")


class FrameTokens(RouterReply):
    """The tokens of an answer, as the vendor counted them."""

    completion_tokens: int = 0


class CountedDescription(Description):
    """The answer to a frame, with its tokens where the vendor counted them."""

    usage: FrameTokens | None = None


class AgentCounters(RouterReply):
    """The last counters of one room's agent."""

    room: str
    counters: dict[str, float]


class TenantUsage(RouterReply):
    """A tenant's settled cost and open rooms."""

    settled_nanousd: int
    rooms: tuple[AgentCounters, ...]


class ChatCost(RouterReply):
    cost_nanousd: int


class ChatEnding(RouterReply):
    """The last event of a streamed chat."""

    rayroom: ChatCost


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedAnswer:
    """The cost of an answer, the vendor's part of its time, and the moment of its first text."""

    cost_nanousd: int
    output_tokens: int = 0
    vendor_s: float
    first_at_s: float


class TimedRouterClient(RouterClient):
    """A room agent's client that also asks questions and times the answers by `clock`."""

    def __init__(
        self,
        transport: HttpTransport,
        agent_key: str,
        room: str,
        job_id: str,
        tenant_id: str,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(transport, agent_key, room, job_id, json.dumps({"tenant_id": tenant_id}))
        self._http = transport
        self._clock = clock

    async def describe_timed(self, jpeg: bytes, headers: Mapping[str, str]) -> TimedAnswer:
        """Send a frame. Raises RouterError."""
        response = await self._post_frame(jpeg, headers)
        answer = parse(CountedDescription, json_object(response.body))
        return TimedAnswer(
            cost_nanousd=answer.cost_nanousd,
            output_tokens=answer.usage.completion_tokens if answer.usage else 0,
            vendor_s=_vendor_s(response.headers),
            first_at_s=self._clock(),
        )

    async def ask(self, question: str) -> TimedAnswer:
        """Send a question and read its answer as a stream to the end. Raises RouterError."""
        body = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": question}]}
        headers = JSON | {"authorization": f"Bearer {self.token}"}
        async with self._http.response(
            "POST", "/v1/chat/completions", headers, as_json(body), FRAME_TIMEOUT_S
        ) as response:
            if response.status != 200:
                raise refusal(RouterResponse(response.status, response.headers, await response.read()))
            return await self._read_stream(response)

    async def _read_stream(self, response: aiohttp.ClientResponse) -> TimedAnswer:
        first_at_s, ending, last = 0.0, b"", b""
        # To its end, also after the marker: only then is the connection kept.
        async for line in response.content:
            if not line.startswith(b"data: "):
                continue
            first_at_s = first_at_s or self._clock()
            last = line.removeprefix(b"data: ").rstrip()
            if b'"rayroom"' in last:
                ending = last
        if last != b"[DONE]":
            raise RouterAway("The answer ended without its marker.")
        cost_nanousd = parse(ChatEnding, json_object(ending)).rayroom.cost_nanousd
        return TimedAnswer(cost_nanousd=cost_nanousd, vendor_s=_vendor_s(response.headers), first_at_s=first_at_s)


def turned_away(error: RouterError) -> bool:
    """Return whether the app shed the request; every other error is a failure."""
    return error.http_status in TURNED_AWAY


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[HttpTransport]:
    """Yield the way to the app at `url`, for as many rooms as there are."""
    # Without a limit: a room that waits for a connection of ours would be the driver's fault, not the app's.
    transport = HttpTransport(url, max_connections=0)
    try:
        yield transport
    finally:
        await transport.aclose()


async def check_ready(transport: HttpTransport) -> None:
    """Return if the app is ready. Raises RouterError."""
    await send(transport, "GET", "/readyz", "none", OPEN_TIMEOUT_S)


async def tenant_usage(transport: HttpTransport, admin_key: str, tenant_id: str) -> TenantUsage:
    """Return a tenant's totals and open rooms. Raises RouterError."""
    path = f"/v1/tenants/{quote(tenant_id, safe='')}/usage"
    return parse(TenantUsage, json_object((await send(transport, "GET", path, admin_key, OPEN_TIMEOUT_S)).body))


def _vendor_s(headers: Mapping[str, str]) -> float:
    found = _VENDOR.search(headers.get("server-timing", ""))
    return float(found[1]) / 1_000 if found else 0.0
