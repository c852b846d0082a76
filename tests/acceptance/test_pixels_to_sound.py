"""One fact from pixels to sound: what is drawn at random is read, asked for aloud, and heard in the spoken answer.

Nothing here is told the number but the one who draws it. The vendors are the emulator with its senses, the gateway
stands behind a socket in this process, the room is a real one.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from livekit import rtc

from deployments.providers.emulator import Emulator, House
from deployments.providers.emulator.senses import Senses, all_senses
from deployments.providers.emulator.senses.tongue import Tongue
from deployments.routes import build_routes
from deployments.settings import VendorSettings
from room_agent.attendance import Attendance
from room_agent.router_client import RouterClient
from room_agent.speech import Speech
from routing.messages import Passage
from tests.acceptance.livekit_server import LiveKit, running_livekit
from tests.acceptance.people import Person, joined
from tests.acceptance.stack import eventually
from tests.integration.voiced import settings_for
from tests.integration.world import KEYS, Tenants, gateway_in_process

SEEN = "What number is on the slide?"
SEEN_BEFORE = "What number was on the slide before this one?"
KNOWN = "What is the budget of project falcon?"
CALLED = f"Rayroom, {KNOWN.lower()}"
TALK = "I think that is wrong."
STOP = "Stop please, that is enough."
PHRASES = (SEEN, SEEN_BEFORE, KNOWN, CALLED, TALK, STOP)
VENDORS = ("openai", "anthropic", "gemini", "voyage")
LONG_S = 60.0


@dataclass
class Library(Tenants):
    """A directory with passages: each tenant's own, those that share a word with the question."""

    passages: dict[str, list[Passage]] = field(default_factory=dict)

    def add(self, tenant_id: str, text: str) -> None:
        own = self.passages.setdefault(tenant_id, [])
        own.append(Passage(passage_id=f"{tenant_id}-{len(own)}", source="plans/budget.md", text=text, score=0.9))

    async def search(self, tenant_id: str, query: str, embedding: tuple[float, ...], top_k: int) -> tuple[Passage, ...]:
        words = set(re.findall(r"\w{4,}", query.lower()))
        own = self.passages.get(tenant_id, [])
        return tuple(one for one in own if words & set(re.findall(r"\w+", one.text.lower())))[:top_k]


@dataclass
class Scene:
    """All that is there but the people."""

    livekit: LiveKit
    emulator: Emulator
    library: Library
    router_url: str

    @asynccontextmanager
    async def attended(self, room: str) -> AsyncIterator[Speech]:
        """Have an agent attend `room` until the block ends."""
        client = RouterClient(self.router_url, KEYS.agent[0], room, "job-1", f'{{"tenant_id": "{room.split("_")[1]}"}}')
        there = rtc.Room()
        await there.connect(self.livekit.url, self.livekit.token(room, "agent"))
        speech = Speech(there, client, self.router_url, settings_for(self.emulator))
        attendance = Attendance(there, client, max_tracks=4, speech=speech)
        attendance.start()
        try:
            await eventually(lambda: speech.voice is not None, LONG_S)
            yield speech
        finally:
            await attendance.aclose()
            await client.aclose()
            await there.disconnect()


@pytest.fixture(scope="module")
def livekit() -> Iterator[LiveKit]:
    with running_livekit() as livekit:
        yield livekit


@pytest.fixture(scope="module")
def senses() -> Senses:
    return all_senses(PHRASES)


@pytest.fixture
async def scene(
    livekit: LiveKit, senses: Senses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Scene]:
    monkeypatch.setenv("VENDOR_KEY", "key")
    async with Emulator(House(senses=senses)).running() as emulator:
        library = Library()
        vendors = {
            name: VendorSettings.model_validate(
                {"api": name, "api_key_env": "VENDOR_KEY", "base_url": emulator.base_urls()[name], "simulated": False}
            )
            for name in VENDORS
        }
        async with gateway_in_process(tmp_path, vendors, directory=library) as (gateway, _):
            async with served(build_routes(gateway)) as url:
                yield Scene(livekit, emulator, library, url)


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """Serve an app on a socket of its own in this loop; yield its root."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=2))
        serving = asyncio.create_task(server.serve([listener]))
        try:
            await eventually(lambda: server.started or serving.done())
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            async with asyncio.timeout(10):
                await serving


def number() -> int:
    return 10_000 + secrets.randbelow(90_000)


def seen(person: Person, drawn: int) -> bool:
    """Tell whether the room was told what is on the slide."""
    return any(str(drawn) in text.text for text in person.on("rayroom.descriptions"))


async def answered(person: Person, times: int = 1) -> str:
    """Wait for the agent's written answer, and until it has said all of it; return the digits that were understood."""
    await eventually(lambda: len(answers(person)) >= times and person.agent().loud_ms > 0, LONG_S)
    await eventually(lambda: person.agent().quiet_ms() > 1_000, LONG_S)
    return await person.digits()


def words_of(person: Person, identity: str) -> list[str]:
    """Return what the room was told that somebody said."""
    texts = person.on("lk.transcription")
    return [text.text for text in texts if text.attributes["rayroom.identity"] == identity]


async def hearing(speech: Speech, microphones: int = 1) -> None:
    """Wait until the agent hears so many microphones."""
    await eventually(lambda: speech.report().get("hearing_microphones") == microphones, LONG_S)


def answers(person: Person) -> list[str]:
    return [text.text for text in person.on("lk.transcription") if "rayroom.to" in text.attributes]


async def test_a_number_on_a_slide_is_asked_for_aloud_and_heard(scene: Scene) -> None:
    drawn = number()
    room = "tenant_acme_pixels"
    async with scene.attended(room) as speech, joined(scene.livekit, room, "ann") as ann:
        await ann.share(drawn)
        await hearing(speech)
        await eventually(lambda: seen(ann, drawn), LONG_S)
        await ann.say(SEEN)
        digits = await answered(ann)
        assert answers(ann) == [f"The number on the slide is {drawn}."]
        assert str(drawn) in digits


async def test_the_number_of_the_slide_before_is_remembered_and_heard(scene: Scene) -> None:
    first, second = number(), number()
    room = "tenant_acme_before"
    async with scene.attended(room) as speech, joined(scene.livekit, room, "ann") as ann:
        await hearing(speech)
        await ann.share(first)
        await eventually(lambda: seen(ann, first), LONG_S)
        ann.slide = second
        await eventually(lambda: seen(ann, second), LONG_S)
        await ann.say(SEEN_BEFORE)
        digits = await answered(ann)
        assert answers(ann) == [f"The slide before this one showed {first}."]
        assert str(first) in digits and str(second) not in digits


async def test_a_number_only_the_knowledge_base_holds_is_heard_and_never_the_other_tenants(scene: Scene) -> None:
    ours, theirs = number(), number()
    scene.library.add("acme", f"The budget of project Falcon is {ours} dollars.")
    scene.library.add("globex", f"The budget of project Falcon is {theirs} dollars.")
    for tenant, held, other in (("acme", ours, theirs), ("globex", theirs, ours)):
        room = f"tenant_{tenant}_budget"
        async with scene.attended(room) as speech, joined(scene.livekit, room, "ann") as ann:
            await hearing(speech)
            await ann.say(KNOWN)
            digits = await answered(ann)
            assert answers(ann) == [f"The budget of project Falcon is {held} dollars."]
            assert str(held) in digits and str(other) not in digits
            assert all(str(other) not in text.text for text in ann.texts)


async def test_what_nobody_knows_is_named_and_not_made_up(scene: Scene) -> None:
    scene.library.add("globex", f"The budget of project Falcon is {number()} dollars.")
    room = "tenant_acme_unknown"
    async with scene.attended(room) as speech, joined(scene.livekit, room, "ann") as ann:
        await hearing(speech)
        await ann.say(KNOWN)
        assert await answered(ann) == ""
        assert answers(ann) == ["I find nothing about budget project falcon."]


async def test_of_three_who_speak_the_one_who_calls_the_agent_is_answered(scene: Scene) -> None:
    held, room = number(), "tenant_acme_three"
    scene.library.add("acme", f"The budget of project Falcon is {held} dollars.")
    async with (
        scene.attended(room) as speech,
        joined(scene.livekit, room, "ann", Tongue("en-us+f2")) as ann,
        joined(scene.livekit, room, "bob", Tongue("en-us+m3")) as bob,
        joined(scene.livekit, room, "cat") as cat,
    ):
        await hearing(speech, 3)
        await bob.say(TALK)
        await eventually(lambda: words_of(cat, "bob"), LONG_S)
        await ann.say(CALLED)
        digits = await answered(cat)
        assert str(held) in digits and len(answers(cat)) == 1
        assert words_of(cat, "bob") == [TALK] and words_of(cat, "ann") == [CALLED]


async def test_who_interrupts_the_answer_does_not_hear_its_end(scene: Scene) -> None:
    held, room = number(), "tenant_acme_cut"
    aside = "which nobody in this company ever liked and which was cut in half at the last meeting but one"
    scene.library.add("acme", f"The budget of project Falcon, {aside}, is {held} dollars.")
    async with scene.attended(room) as speech, joined(scene.livekit, room, "ann") as ann:
        await hearing(speech)
        await ann.say(KNOWN)
        await eventually(lambda: ann.agent().loud_ms > 300, LONG_S)
        await ann.say(STOP)
        assert str(held) not in await answered(ann)
        (answer,) = (text for text in ann.on("lk.transcription") if "rayroom.to" in text.attributes)
        assert answer.attributes["rayroom.interrupted"] == "true" and speech.report()["voice_interruptions"] == 1
