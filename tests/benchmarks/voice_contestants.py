"""Runs the contestants of the voice benchmark in rooms, each in its own process, as a room's agent runs.

The benchmark sends orders through a pipe: join, begin a turn, report, leave. The reply is the turn's timestamps.
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
from room_agent.context.prompt import AgentManner, Turn
from room_agent.conversation.llm import RouterLlm
from room_agent.conversation.tool_calls import RequestedCall
from room_agent.core.router_client import RouterClient
from room_agent.core.router_transport import HttpTransport
from room_agent.core.settings import SpeechSettings
from room_agent.room_speech import RoomSpeech
from room_agent.session import RoomSession
from tests.benchmarks.plain_session import plain_session
from tests.benchmarks.voice_turn import Stamps
from tests.support.eventually import eventually

RAYROOM, PLAIN, PREEMPTIVE = "rayroom", "plain session", "plain, asks early"
ROOMS = {RAYROOM: "tenant_acme_bench", PLAIN: "plain", PREEMPTIVE: "plain_early"}
REPLY_TIMEOUT_S = 60.0
"""Includes the imports of a new process, which take some seconds."""

Order = Literal["join", "begin", "report", "leave"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
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

    def __init__(self, name: str, settings: ConnectionSettings) -> None:
        self._pipe, child_pipe = mp.get_context("spawn").Pipe()
        self._process = mp.get_context("spawn").Process(
            target=_run_contestant, args=(name, settings, child_pipe), daemon=True
        )
        self._process.start()

    async def send(self, order: Order) -> Stamps:
        """Send an order, wait until it is carried out, and return the turn's timestamps."""
        self._pipe.send(order)
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            while not self._pipe.poll():  # noqa: ASYNC110 a pipe has no event to wait for
                await asyncio.sleep(0.005)
        stamps: Stamps = self._pipe.recv()
        return stamps

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[None]:
        await self.send("join")
        try:
            yield
        finally:
            await self.send("leave")

    def close(self) -> None:
        self._process.terminate()
        self._process.join(REPLY_TIMEOUT_S)


def _run_contestant(name: str, settings: ConnectionSettings, pipe: Connection) -> None:
    asyncio.run(_handle_orders(name, settings, pipe))


async def _handle_orders(name: str, settings: ConnectionSettings, pipe: Connection) -> None:
    stamps = Stamps()
    orders: asyncio.Queue[Order] = asyncio.Queue()
    asyncio.get_running_loop().add_reader(pipe.fileno(), lambda: orders.put_nowait(pipe.recv()))
    while True:
        session: AbstractAsyncContextManager[None] | None = None
        while (order := await orders.get()) != "leave":
            if order == "join":
                session = _contestant_session(name, settings, stamps)
                await session.__aenter__()
            elif order == "begin":
                stamps.begin()
            pipe.send(stamps)
        if session is not None:
            await session.__aexit__(None, None, None)
        pipe.send(stamps)


def _contestant_session(name: str, settings: ConnectionSettings, stamps: Stamps) -> AbstractAsyncContextManager[None]:
    if name == RAYROOM:
        return _rayroom(settings, stamps)
    return _plain(settings, stamps, preemptive=name == PREEMPTIVE)


class _StampedContextBuilder(ContextBuilder):
    """The product's context builder, with a stamp at each turn."""

    def __init__(self, stamps: Stamps, speech: RoomSpeech, names: Sequence[str]) -> None:
        super().__init__(speech.context.knowledge, AgentManner(name=names[0], spoken=True), time.time)
        self._stamps = stamps

    async def turn(self, question: str, asker: str, identity: str, searches: bool = False) -> Turn:
        self._stamps.turn_started()
        return await super().turn(question, asker, identity, searches)


@dataclass
class _StampedAnswers:
    """The product's answer source, with stamps at the request and the first word."""

    stamps: Stamps
    source: RouterLlm

    async def answer(
        self,
        messages: list[dict[str, Any]],
        failed_before: bool = False,
        participant: str = "",
        *tools: Any,
        **more: Any,
    ) -> AsyncIterator[str | RequestedCall]:
        self.stamps.requested()
        answer = self.source.answer(messages, failed_before, participant, *tools, **more)
        async with aclosing(answer) as texts:  # type: ignore[type-var]
            async for text in texts:
                self.stamps.first_token()
                yield text


@asynccontextmanager
async def _rayroom(settings: ConnectionSettings, stamps: Stamps) -> AsyncIterator[None]:
    transport = HttpTransport(settings.router_url)
    client = RouterClient(transport, settings.agent_key, ROOMS[RAYROOM], "bench", '{"tenant_id": "acme"}')
    async with _connected_room(settings) as room:
        speech = RoomSpeech(room, client, settings.router_url, settings.speech)
        speech.context = _StampedContextBuilder(stamps, speech, settings.speech.names)
        session = RoomSession(room, client, max_tracks=1, speech=speech)
        session.start()
        try:
            await eventually(lambda: speech.report().get("hearing_microphones"))
            assert speech.voice is not None
            tools = speech.voice.responder.tools
            tools.llm = cast(RouterLlm, _StampedAnswers(stamps, tools.llm))
            yield
        finally:
            await session.aclose()
            await transport.aclose()


@asynccontextmanager
async def _plain(settings: ConnectionSettings, stamps: Stamps, preemptive: bool) -> AsyncIterator[None]:
    async with _connected_room(settings) as room:
        async with plain_session(room, settings.speech, settings.model, settings.model_url, stamps, preemptive):
            yield


@asynccontextmanager
async def _connected_room(settings: ConnectionSettings) -> AsyncIterator[rtc.Room]:
    room = rtc.Room()
    await room.connect(settings.livekit_url, settings.livekit_token)
    try:
        yield room
    finally:
        await room.disconnect()
