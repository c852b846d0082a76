"""Runs the contestants of the voice benchmark in rooms, each in a process of its own as a room's agent is.

The benchmark sends orders through a pipe: join, begin a turn, report, leave. The reply is the stamps of the turn.
"""

from __future__ import annotations

import asyncio
import multiprocessing as mp
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Literal, cast

from livekit import rtc

from room_agent.context.context import ContextBuilder
from room_agent.context.prompt import Turn
from room_agent.conversation.llm import RouterLlm
from room_agent.core.router_client import RouterClient
from room_agent.core.router_transport import HttpTransport
from room_agent.core.settings import SpeechSettings
from room_agent.session import RoomSession, RoomSpeech
from tests.benchmarks.plain_session import plain_session
from tests.benchmarks.voice_turn import Stamps
from tests.support.stack import eventually

RAYROOM, PLAIN, EARLY = "rayroom", "plain session", "plain, asks early"
ROOMS = {RAYROOM: "tenant_acme_bench", PLAIN: "plain", EARLY: "plain_early"}
REPLY_TIMEOUT_S = 60.0
"""A new process takes some seconds for its imports."""

Order = Literal["sit", "begin", "tell", "rise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The room of a contestant, and the services it calls."""

    livekit_url: str
    livekit_token: str = field(repr=False)
    router_url: str
    agent_key: str = field(repr=False)
    model: str
    model_url: str
    speech: SpeechSettings


class Contestant:
    """The parent's handle of one contestant's process; `close` ends it."""

    def __init__(self, name: str, places: Places) -> None:
        self._pipe, theirs = mp.get_context("spawn").Pipe()
        self._process = mp.get_context("spawn").Process(target=_contest, args=(name, places, theirs), daemon=True)
        self._process.start()

    async def send(self, order: Order) -> Stamps:
        """Send an order, and return the stamps of the turn after it was carried out."""
        self._pipe.send(order)
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            while not self._pipe.poll():  # noqa: ASYNC110 a pipe has no event to wait on
                await asyncio.sleep(0.005)
        stamps: Stamps = self._pipe.recv()
        return stamps

    @asynccontextmanager
    async def seated(self) -> AsyncIterator[None]:
        await self.send("sit")
        try:
            yield
        finally:
            await self.send("rise")

    def close(self) -> None:
        self._process.terminate()
        self._process.join(REPLY_TIMEOUT_S)


def _contest(name: str, places: Places, pipe: Connection) -> None:
    asyncio.run(_obey(name, places, pipe))


async def _obey(name: str, places: Places, pipe: Connection) -> None:
    stamps = Stamps()
    orders: asyncio.Queue[Order] = asyncio.Queue()
    asyncio.get_running_loop().add_reader(pipe.fileno(), lambda: orders.put_nowait(pipe.recv()))
    while True:
        seat: AbstractAsyncContextManager[None] | None = None
        while (order := await orders.get()) != "rise":
            if order == "sit":
                seat = _seat(name, places, stamps)
                await seat.__aenter__()
            elif order == "begin":
                stamps.begin()
            pipe.send(stamps)
        if seat is not None:
            await seat.__aexit__(None, None, None)
        pipe.send(stamps)


def _seat(name: str, places: Places, stamps: Stamps) -> AbstractAsyncContextManager[None]:
    if name == RAYROOM:
        return _rayroom(places, stamps)
    return _plain(places, stamps, asks_early=name == EARLY)


class _StampedContextBuilder(ContextBuilder):
    """The product's context builder, with a stamp at each turn."""

    def __init__(self, stamps: Stamps, speech: RoomSpeech, names: Sequence[str]) -> None:
        super().__init__(speech.context.knowledge, names[0], True, time.time)
        self._stamps = stamps

    async def turn(self, question: str, asker: str, identity: str) -> Turn:
        self._stamps.taken()
        return await super().turn(question, asker, identity)


@dataclass
class _StampedAnswers:
    """The product's answer source, with stamps at the request and the first word."""

    stamps: Stamps
    thinking: RouterLlm

    async def answer(self, messages: list[dict[str, Any]], failed_before: bool = False) -> AsyncIterator[str]:
        self.stamps.requested()
        async with aclosing(self.thinking.answer(messages, failed_before)) as words:  # type: ignore[type-var]
            async for some in words:
                self.stamps.worded()
                yield some


@asynccontextmanager
async def _rayroom(places: Places, stamps: Stamps) -> AsyncIterator[None]:
    transport = HttpTransport(places.router_url)
    client = RouterClient(transport, places.agent_key, ROOMS[RAYROOM], "bench", '{"tenant_id": "acme"}')
    async with _there(places) as room:
        spoken = RoomSpeech(room, client, places.router_url, places.speech)
        spoken.context = _StampedContextBuilder(stamps, spoken, places.speech.names)
        attendance = RoomSession(room, client, max_tracks=1, speech=spoken)
        attendance.start()
        try:
            await eventually(lambda: spoken.report().get("hearing_microphones"))
            assert spoken.voice is not None
            responder = spoken.voice.responder
            responder.llm = cast(RouterLlm, _StampedAnswers(stamps, responder.llm))
            yield
        finally:
            await attendance.aclose()
            await transport.aclose()


@asynccontextmanager
async def _plain(places: Places, stamps: Stamps, asks_early: bool) -> AsyncIterator[None]:
    async with _there(places) as room:
        async with plain_session(room, places.speech, places.model, places.model_url, stamps, asks_early):
            yield


@asynccontextmanager
async def _there(places: Places) -> AsyncIterator[rtc.Room]:
    room = rtc.Room()
    await room.connect(places.livekit_url, places.livekit_token)
    try:
        yield room
    finally:
        await room.disconnect()
