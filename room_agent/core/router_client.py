"""Calls the router over HTTP and maps its refusals and timeouts to typed errors."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from routing.errors import RayroomError
from routing.models import Passage

OPEN_TIMEOUT_S = 10.0
FRAME_TIMEOUT_S = 40.0
CONNECT_TIMEOUT_S = 3.0
KEPT_S = 45.0
"""The lifetime of an idle connection. Rooms call less often than every 5 s, httpx's default; Serve keeps it for 90."""
MAX_PASSAGE_CHARS = 8_000
_LONGEST_RETRY_AFTER_S = 60.0


class RouterError(RayroomError):
    """A call to the router failed."""


class RouterAway(RouterError):
    """The router cannot be reached, or did not answer in time."""

    retryable = True


class RouterBusy(RouterError):
    """The router is overloaded, or the tenant is over its rate limit or budget."""

    retryable = True


class TokenExpired(RouterError):
    """The room token expired; the room must be opened again."""

    retryable = True


class RouterRefused(RouterError):
    """The router refuses this room or this request, or its reply cannot be parsed. A retry will not help."""


class RouterReply(BaseModel):
    """A reply of the router. Unknown fields are ignored, so that a newer router may add some."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class RoomLimits(RouterReply):
    frames_per_second: float
    image_long_side_px: int
    heartbeat_every_s: float


class OpenedRoom(RouterReply):
    token: str
    expires_at: float
    simulated: bool
    limits: RoomLimits


class Description(RouterReply):
    """The answer to a frame."""

    description: str
    model: str
    tier: str
    cost_nanousd: int
    simulated: bool


class TenantBudget(RouterReply):
    """The tenant's spending and its limit. Without a limit the budget is never spent."""

    spent_nanousd: int
    limit_nanousd: int | None

    @property
    def is_spent(self) -> bool:
        return self.limit_nanousd is not None and self.spent_nanousd >= self.limit_nanousd


class HeartbeatResult(RouterReply):
    """The reply to a heartbeat: the ids of the usage events that are now billed, and the tenant's budget."""

    taken: tuple[str, ...] = ()
    budget: TenantBudget | None = None


class FoundPassage(RouterReply):
    id: str
    source: str
    text: str
    score: FiniteFloat | None = None

    def passage(self) -> Passage:
        text = self.text[:MAX_PASSAGE_CHARS]
        return Passage(passage_id=self.id, source=self.source, text=text, score=self.score)


class SearchPassages(RouterReply):
    passages: tuple[FoundPassage, ...]


R = TypeVar("R", bound=RouterReply)


@cache
def tls() -> ssl.SSLContext:
    """Return the process's one TLS context: loading the certificates blocks the event loop for a fifth of a second."""
    return httpx.create_ssl_context()


class RouterClient:
    """The client of one room. Every call has a deadline and raises RouterError.

    `ended` marks the job as dead: its room is opened only to bill the usage that it left behind.
    """

    def __init__(self, url: str, agent_key: str, room: str, job_id: str, metadata: str, *, ended: bool = False) -> None:
        self._agent_key = agent_key
        # Sent only where true: a router of an older version, which rejects the field, still opens living rooms.
        self._ended = {"ended": True} if ended else {}
        self._opening = {"room": room, "job_id": job_id, "metadata": metadata, **self._ended}
        self._room_path = f"/v1/rooms/{quote(room, safe='')}"
        self._token = ""
        self._http = httpx.AsyncClient(
            base_url=url,
            verify=tls(),
            timeout=httpx.Timeout(FRAME_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=16, keepalive_expiry=KEPT_S),
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def open(self) -> OpenedRoom:
        """Open the room, or open it again, and store its token."""
        reply = await self._request("POST", "/v1/rooms", self._agent_key, OPEN_TIMEOUT_S, json=self._opening)
        opened = _parsed(OpenedRoom, reply)
        self._token = opened.token
        return opened

    @property
    def token(self) -> str:
        """The present room token. A heartbeat may renew it."""
        return self._token

    async def beat(self, counters: Mapping[str, float], usage: Sequence[Mapping[str, Any]] = ()) -> HeartbeatResult:
        """Send the counters and speech usage events, and store a renewed token.

        An event is sent again with each heartbeat until a reply lists its id: the router bills an id once.
        """
        body: dict[str, Any] = {"counters": dict(counters), **self._ended}
        if usage:
            body["usage"] = [dict(event) for event in usage]
        reply = await self._request("POST", f"{self._room_path}/heartbeat", self._token, OPEN_TIMEOUT_S, json=body)
        self._token = str(reply.get("token") or self._token)
        return _parsed(HeartbeatResult, reply)

    async def close(self) -> None:
        await self._request("DELETE", self._room_path, self._token, OPEN_TIMEOUT_S)

    async def describe(self, jpeg: bytes, headers: Mapping[str, str]) -> Description:
        """Return the description of one frame."""
        headers = {"content-type": "image/jpeg", **headers}
        reply = await self._request("POST", "/v1/frames", self._token, FRAME_TIMEOUT_S, content=jpeg, headers=headers)
        return _parsed(Description, reply)

    async def search(self, query: str, jpeg: bytes | None, top_k: int, timeout_s: float) -> tuple[Passage, ...]:
        """Return at most `top_k` passages of the tenant's knowledge base for a question and, if given, a frame."""
        image = None if jpeg is None else "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
        body = {"query": query, "image": image, "top_k": top_k}
        reply = await self._request("POST", "/v1/knowledge/search", self._token, timeout_s, json=body)
        return tuple(found.passage() for found in _parsed(SearchPassages, reply).passages[:top_k])

    async def _request(
        self,
        method: str,
        path: str,
        credential: str,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        **body: Any,
    ) -> dict[str, Any]:
        headers = {**(headers or {}), "authorization": f"Bearer {credential}"}
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._http.request(method, path, headers=headers, **body)
        except (httpx.HTTPError, TimeoutError) as error:
            # Without the cause: its text may hold the URL and the headers.
            raise RouterAway(f"The router did not answer: {type(error).__name__}.") from None
        if response.is_success:
            return _json(response)
        raise _error_of(response)


def _error_of(response: httpx.Response) -> RouterError:
    error = _json(response).get("error")
    code = str(error.get("code")) if isinstance(error, dict) else "unknown"
    message = f"The router answered {response.status_code} {code}."
    # 402 is a spent budget: like a rate limit it passes, so the room stays open and asks less often.
    if response.status_code == 401:
        return TokenExpired(message)
    if response.status_code in (402, 429) or response.status_code >= 500:
        return RouterBusy(message, retry_after_s=_retry_after_s(response))
    return RouterRefused(message)


def _retry_after_s(response: httpx.Response) -> float | None:
    try:
        return min(max(float(response.headers["retry-after"]), 0.0), _LONGEST_RETRY_AFTER_S)
    except (KeyError, ValueError):
        return None


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _parsed(kind: type[R], reply: dict[str, Any]) -> R:
    try:
        return kind.model_validate(reply)
    except ValidationError as error:
        raise RouterRefused(f"The router's answer lacks a valid {error.errors()[0]['loc'][0]}.") from None
