"""Calls the router over HTTP and maps its refusals and timeouts to typed errors."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, BeforeValidator, ConfigDict, FiniteFloat, ValidationError

from room_agent.core.router_errors import RouterBusy, RouterError, RouterRefused, TokenExpired
from room_agent.core.router_transport import RouterResponse, RouterTransport
from routing.capabilities import ImageTokens
from routing.models import Passage, TenantAgent
from routing.rooms import read_tenant_agent
from routing.telemetry.current_request import request_headers
from routing.telemetry.tracing import trace_headers
from routing.validation import first_error

OPEN_TIMEOUT_S = 10.0
RECORD_TIMEOUT_S = 25.0
"""The router adds up the meeting's costs and calls the backend: both within their own timeouts."""
FRAME_TIMEOUT_S = 60.0
"""Longer than the router takes at most, or an answer would be billed that nobody reads: cluster/config/timeouts.py."""
MAX_PASSAGE_CHARS = 8_000
_LONGEST_RETRY_AFTER_S = 60.0


class RouterReply(BaseModel):
    """A reply of the router. Unknown fields are ignored, so that a newer router may add some."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class RoomLimits(RouterReply):
    frames_per_second: float
    image_long_side_px: int
    heartbeat_every_s: float
    image_tokens: ImageTokens | None = None
    """How the model that describes most frames counts the tokens of an image."""


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


def _tenant_agent(value: Any) -> TenantAgent:
    """Return the agent without the fields that this version does not know."""
    return value if isinstance(value, TenantAgent) else read_tenant_agent(value)[0]


class OpenedRoom(RouterReply):
    token: str
    expires_at: float
    simulated: bool
    limits: RoomLimits
    budget: TenantBudget | None = None
    agent: Annotated[TenantAgent, BeforeValidator(_tenant_agent)] = TenantAgent()
    """The tenant's agent; an older router sends none."""
    takes_participants: bool = False
    """Whether requests may name the participants whose costs they are; a router of an older version rejects that."""


class SetAsideEvent(RouterReply):
    """A usage event that the router cannot price; it has logged it."""

    id: str | None = None


class HeartbeatResult(RouterReply):
    """The reply to a heartbeat: the ids of the usage events that are now billed, and the tenant's budget."""

    taken: tuple[str, ...] = ()
    set_aside: tuple[SetAsideEvent, ...] = ()
    budget: TenantBudget | None = None

    @property
    def settled(self) -> tuple[str, ...]:
        """Return the ids of the events that need not be sent again."""
        return (*self.taken, *(event.id for event in self.set_aside if event.id is not None))


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


class ReportedRecord(RouterReply):
    """The backend's answer to a part of a meeting's record; see routing/records."""

    outcome: Literal["stored", "duplicate", "deleted", "too_large", "refused"]
    reason: str = ""


R = TypeVar("R", bound=RouterReply)


class RouterClient:
    """The client of one room. Every call has a deadline and raises RouterError.

    The owner of the transport closes it. `ended` marks the job as dead: its room is opened only to bill the usage that
    it left behind.
    """

    def __init__(
        self, transport: RouterTransport, agent_key: str, room: str, job_id: str, metadata: str, *, ended: bool = False
    ) -> None:
        self._transport = transport
        self._agent_key = agent_key
        # Sent only where true: a router of an older version, which rejects the field, still opens living rooms.
        self._ended = {"ended": True} if ended else {}
        self._opening = {"room": room, "job_id": job_id, "metadata": metadata, **self._ended}
        self._room_path = f"/v1/rooms/{quote(room, safe='')}"
        self._token = ""
        self._takes_participants = False

    async def open(self) -> OpenedRoom:
        """Open the room, or open it again, and store its token."""
        reply = await self._post("/v1/rooms", self._agent_key, self._opening, OPEN_TIMEOUT_S)
        opened = parse(OpenedRoom, reply)
        self._token = opened.token
        self._takes_participants = opened.takes_participants
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
            body["usage"] = [{name: event[name] for name in event if name != "participant"} for event in usage]
        speakers = {event["id"]: event["participant"] for event in usage if event.get("participant")}
        if speakers and self._takes_participants:
            # Beside the events: a router without the field rejects the heartbeat, and never takes half of an event.
            body["participants"] = speakers
        reply = await self._post(f"{self._room_path}/heartbeat", self._token, body, OPEN_TIMEOUT_S)
        self._token = str(reply.get("token") or self._token)
        return parse(HeartbeatResult, reply)

    async def close(self) -> None:
        await send(self._transport, "DELETE", self._room_path, self._token, OPEN_TIMEOUT_S)

    async def describe(
        self, jpeg: bytes, headers: Mapping[str, str], body: Mapping[str, Any] | None = None, sharer: str = ""
    ) -> Description:
        """Return the description of one frame of a participant: of its JPEG, or of the pictures in a JSON body."""
        if sharer and self._takes_participants:
            # Identities are any text, and headers are ASCII.
            headers = {**headers, "x-frame-participant": quote(sharer, safe="")}
        return parse(Description, json_object((await self._post_frame(jpeg, headers, body)).body))

    async def search(self, query: str, top_k: int, timeout_s: float, asker: str = "") -> tuple[Passage, ...]:
        """Return at most `top_k` passages of the tenant's knowledge base for a question."""
        body: dict[str, Any] = {"query": query, "top_k": top_k}
        if asker and self._takes_participants:
            body["user"] = asker
        reply = await self._post("/v1/knowledge/search", self._token, body, timeout_s)
        return tuple(found.passage() for found in parse(SearchPassages, reply).passages[:top_k])

    async def report_record(self, part: bytes) -> ReportedRecord:
        """Send the JSON of a part of the meeting's record."""
        path = f"{self._room_path}/record"
        response = await send(self._transport, "POST", path, self._token, RECORD_TIMEOUT_S, JSON, part)
        return parse(ReportedRecord, json_object(response.body))

    async def _post_frame(
        self, jpeg: bytes, headers: Mapping[str, str], body: Mapping[str, Any] | None = None
    ) -> RouterResponse:
        kind, sent = ("image/jpeg", jpeg) if body is None else ("application/json", as_json(body))
        headers = {"content-type": kind, **headers}
        return await send(self._transport, "POST", "/v1/frames", self._token, FRAME_TIMEOUT_S, headers, sent)

    async def _post(self, path: str, credential: str, body: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        sent = as_json(body)
        return json_object((await send(self._transport, "POST", path, credential, timeout_s, JSON, sent)).body)


JSON = {"content-type": "application/json"}


def data_url(jpeg: bytes) -> str:
    """Return a JPEG as JSON bodies hold it."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def as_json(body: Mapping[str, Any]) -> bytes:
    """Return the body of a request that has the headers `JSON`."""
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()


async def send(
    transport: RouterTransport,
    method: str,
    path: str,
    credential: str,
    timeout_s: float,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> RouterResponse:
    """Send a request with a key or a token; return the response of a success. Raises RouterError."""
    headers = {**(headers or {}), **trace_headers(), **request_headers(), "authorization": f"Bearer {credential}"}
    response = await transport.request(method, path, headers, body, timeout_s)
    if 200 <= response.status < 300:
        return response
    raise refusal(response)


def refusal(response: RouterResponse) -> RouterError:
    """Return the error that an unsuccessful response stands for."""
    error = json_object(response.body).get("error")
    code = str(error.get("code")) if isinstance(error, dict) else "unknown"
    status = response.status
    message = f"The router answered {status} {code}."
    # 402 is a spent budget: like a rate limit it passes, so the room stays open and asks less often.
    if status == 401:
        return TokenExpired(message, http_status=status)
    if status in (402, 429) or status >= 500:
        return RouterBusy(message, retry_after_s=_retry_after_s(response), http_status=status)
    return RouterRefused(message, http_status=status)


def parse(kind: type[R], reply: Mapping[str, Any]) -> R:
    """Return a reply as its type. Raises RouterRefused."""
    try:
        return kind.model_validate(reply)
    except ValidationError as error:
        where, _ = first_error(error)
        raise RouterRefused(f"The router's answer lacks a valid {where.partition('.')[0]}.") from None


def _retry_after_s(response: RouterResponse) -> float | None:
    try:
        return min(max(float(response.headers["retry-after"]), 0.0), _LONGEST_RETRY_AFTER_S)
    except (KeyError, ValueError):
        return None


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body, an empty one for any other body."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
