"""Replacements for the network of an agent: a room without an SFU, and a router client without a socket."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from livekit import rtc
from livekit.rtc.room import EventTypes

from room_agent.core.router_client import RouterClient
from room_agent.core.router_transport import RouterResponse
from room_agent.frames.i420 import Planes
from room_agent.video.newest_frame import END_FRAME_PX
from tests.support.screens import packed

ROOM = "tenant_acme_standup"
LIMITS = {"frames_per_second": 1.0, "image_long_side_px": 640, "heartbeat_every_s": 5.0}


class Clock:
    """A clock that moves only when a test or a patched sleep moves it."""

    def __init__(self, now_s: float = 1_000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


class OfflineRouter:
    """The transport of a real RouterClient, and its router. Each request takes the next status of its route."""

    def __init__(self) -> None:
        self.open_statuses: deque[int] = deque()
        self.heartbeat_statuses: deque[int] = deque()
        self.frame_statuses: deque[int] = deque()
        self.retry_after_s: str | None = "0"
        self.answering = asyncio.Event()
        """Frames are answered while it is set."""
        self.answering.set()
        self.requests: list[str] = []
        self.frames: list[Mapping[str, str]] = []
        self.heartbeats: list[dict[str, Any]] = []
        self.agent: dict[str, Any] = {}
        """The tenant's agent in the reply to an opening."""
        self.record_statuses: deque[int] = deque()
        self.record_parts: list[dict[str, Any]] = []
        self.client = RouterClient(self, "agent-key", ROOM, "job-1", "{}")

    @property
    def opened(self) -> int:
        return self.requests.count("POST /v1/rooms")

    @property
    def closed(self) -> int:
        return self.requests.count(f"DELETE /v1/rooms/{ROOM}")

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> RouterResponse:
        route = f"{method} {path}"
        self.requests.append(route)
        if route == "POST /v1/rooms":
            opened: dict[str, Any] = {"expires_at": 0, "simulated": True, "limits": LIMITS, "takes_participants": True}
            return self._reply(self.open_statuses, opened | {"token": f"token-{self.opened}", "agent": self.agent})
        if route.endswith("/heartbeat"):
            heartbeat = json.loads(body)
            self.heartbeats.append(heartbeat)
            return self._reply(
                self.heartbeat_statuses, {"taken": [event["id"] for event in heartbeat.get("usage", ())]}
            )
        if route == "POST /v1/frames":
            await self.answering.wait()
            self.frames.append(headers)
            answer = {"description": "a slide", "model": "simulated/m", "tier": "simple"}
            return self._reply(self.frame_statuses, answer | {"cost_nanousd": 7, "simulated": True})
        if route.endswith("/record"):
            self.record_parts.append(json.loads(body))
            return self._reply(self.record_statuses, {"outcome": "stored"})
        return RouterResponse(200, {}, b"{}")

    def _reply(self, statuses: deque[int], body: dict[str, Any]) -> RouterResponse:
        if statuses and (status := statuses.popleft()) != 200:
            headers = {} if self.retry_after_s is None else {"retry-after": self.retry_after_s}
            return RouterResponse(status, headers, b'{"error": {"code": "scripted"}}')
        return RouterResponse(200, {}, json.dumps(body).encode())


@dataclass
class OfflinePublication:
    """A published track; the subscription takes effect at once."""

    sid: str
    source: int = rtc.TrackSource.SOURCE_SCREENSHARE
    kind: int = rtc.TrackKind.KIND_VIDEO
    muted: bool = False
    encryption_type: int = rtc.EncryptionType.NONE
    subscribed: bool = False
    track: OfflineTrack | None = None

    def set_subscribed(self, subscribed: bool) -> None:
        self.subscribed = subscribed
        self.track = OfflineTrack() if subscribed else None


@dataclass
class OfflineParticipant:
    """A participant and its publications."""

    identity: str
    name: str = ""
    kind: int = rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD
    track_publications: dict[str, OfflinePublication] = field(default_factory=dict)

    def publish(self, publication: OfflinePublication) -> OfflinePublication:
        self.track_publications[publication.sid] = publication
        return publication


@dataclass
class LocalParticipant:
    """The agent itself: stores the texts that it sends."""

    sent: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    error: Exception | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    name: str = "rayroom"

    async def set_name(self, name: str) -> None:
        self.name = name

    async def send_text(self, text: str, *, topic: str, attributes: dict[str, str]) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append((text, topic, attributes))


class OfflineRoom(rtc.EventEmitter[EventTypes]):
    """A room without an SFU; a test adds and removes its participants."""

    def __init__(self) -> None:
        super().__init__()
        self.remote_participants: dict[str, OfflineParticipant] = {}
        self.local_participant = LocalParticipant()
        self.topics: list[str] = []
        self.connection_state = rtc.ConnectionState.CONN_CONNECTED

    def register_text_stream_handler(self, topic: str, _: Any) -> None:
        self.topics.append(topic)

    def unregister_text_stream_handler(self, topic: str) -> None:
        self.topics.remove(topic)

    def add(self, identity: str, name: str = "") -> OfflineParticipant:
        self.remote_participants[identity] = OfflineParticipant(identity, name)
        return self.remote_participants[identity]

    @property
    def as_room(self) -> rtc.Room:
        return cast(rtc.Room, self)


class OfflineTrack:
    """A subscribed track; frames put into it come out of its stream. None ends the track."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[rtc.VideoFrameEvent | None] = asyncio.Queue(100)
        self.streams: list[OfflineNewestFrame] = []

    def show(self, planes: Planes, rotation: int = rtc.VideoRotation.VIDEO_ROTATION_0, timestamp_us: int = 0) -> None:
        frame = rtc.VideoFrame(planes.width_px, planes.height_px, rtc.VideoBufferType.I420, packed(planes))
        self.receive(frame, rotation, timestamp_us)

    def receive(
        self, frame: rtc.VideoFrame, rotation: int = rtc.VideoRotation.VIDEO_ROTATION_0, timestamp_us: int = 0
    ) -> None:
        event = rtc.VideoFrameEvent(frame=frame, timestamp_us=timestamp_us, rotation=cast(Any, rotation))
        self.frames.put_nowait(event)

    def end(self) -> None:
        self.frames.put_nowait(None)

    @property
    def as_track(self) -> rtc.Track:
        return cast(rtc.Track, self)


class OfflineNewestFrame:
    """A replacement for `NewestFrame`, which needs a track of the SFU."""

    def __init__(self, track: OfflineTrack) -> None:
        self._track = track
        self._newest: rtc.VideoFrameEvent | None = None
        self._received = 0
        self._woken = asyncio.Event()
        self.ended = self.closed = self.is_awaited = False
        track.streams.append(self)

    @property
    def newest(self) -> rtc.VideoFrameEvent | None:
        self._drain()
        return self._newest

    @property
    def received(self) -> int:
        self._drain()
        return self._received

    async def next(self, seen: rtc.VideoFrameEvent | None) -> None:
        if self.newest is not seen or self.ended:
            return
        arriving = asyncio.create_task(self._track.frames.get())
        waking = asyncio.create_task(self._woken.wait())
        self.is_awaited = True
        try:
            await asyncio.wait({arriving, waking}, return_when=asyncio.FIRST_COMPLETED)
            if arriving.done():
                self._add(arriving.result())
        finally:
            arriving.cancel()
            waking.cancel()
            self._woken.clear()
            self.is_awaited = False

    def wake(self) -> None:
        self._woken.set()

    async def aclose(self) -> None:
        self.closed = True

    def _drain(self) -> None:
        while not self._track.frames.empty():
            self._add(self._track.frames.get_nowait())

    def _add(self, event: rtc.VideoFrameEvent | None) -> None:
        if event is None:
            self.ended = True
        elif max(event.frame.width, event.frame.height) > END_FRAME_PX:
            self._newest = event
            self._received += 1


async def until(condition: Any) -> None:
    """Let the event loop and other threads run until `condition()` holds. Raises TimeoutError."""
    async with asyncio.timeout(10.0):
        while not condition():
            await asyncio.to_thread(lambda: None)
