"""A room's speech: it starts, follows the tenant's agent and budget, and its usage outlives it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from room_agent.audio.transcripts import Utterance
from room_agent.conversation.chat import ReceivedMessage
from room_agent.conversation.manager import ConversationManager
from room_agent.conversation.notices import NOTICE_TEXTS, Trouble
from room_agent.conversation.tool_client import ListedRoomTool
from room_agent.conversation.tool_confirmation import ProposedCall
from room_agent.conversation.transcription import Transcription
from room_agent.core.router_client import OpenedRoom, TenantBudget
from room_agent.core.settings import SpeechSettings
from room_agent.room_speech import RoomSpeech
from room_agent.session import LAST_HEARTBEAT_EVERY_S, RoomSession
from routing.models import TenantAgent
from tests.support.screens import Desktop
from tests.unit.room_agent.offline import LIMITS, OfflineRouter, until
from tests.unit.room_agent.session_harness import SessionHarness, recorder_in

SETTINGS = SpeechSettings(
    voice=False,
    deepgram_key="",
    deepgram_url="http://vendor.invalid",
    eleven_key="",
    eleven_url="http://vendor.invalid",
    voice_id="v",
    stt_models=("nova-3",),
    tts_models=("eleven_flash_v2_5",),
    language="en-US",
    names=("Rayroom",),
    max_microphones=1,
    pause_s=0.3,
)


def opened_room(**changes: Any) -> OpenedRoom:
    values = {"token": "token", "expires_at": 0, "simulated": True, "limits": LIMITS}
    return OpenedRoom.model_validate(values | changes)


@pytest.fixture
async def harness_with_speech(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[SessionHarness, RoomSpeech]]:
    """Yield a session with a conversation that cannot start; frames and usage are still recorded."""

    async def fail(_: RoomSpeech, opened: OpenedRoom) -> None:
        raise OSError("words of a participant")

    monkeypatch.setattr(RoomSpeech, "start", fail)
    router = OfflineRouter()
    harness = SessionHarness(router, monkeypatch)
    speech = RoomSpeech(harness.room.as_room, router.client, "http://router.invalid", SETTINGS)
    harness.session = RoomSession(harness.room.as_room, router.client, max_tracks=2, speech=speech)
    yield harness, speech
    await harness.session.aclose()


async def test_frames_and_heartbeats_continue_when_the_conversation_cannot_start(
    harness_with_speech: tuple[SessionHarness, RoomSpeech],
) -> None:
    harness, speech = harness_with_speech
    screen = harness.share_screen()
    with capture_logs() as log_lines:
        await harness.start()
    assert [log_line["event"] for log_line in log_lines if log_line["log_level"] == "error"] == [
        "conversation start failed"
    ]
    assert "words" not in str(log_lines)
    assert screen.track is not None
    screen.track.show(Desktop().planes())
    memory = speech.context._memory
    await until(lambda: "shown now" in memory.recall(time.time(), 500))
    screen.muted = True
    harness.room.emit("track_muted")
    assert "shown now" not in memory.recall(time.time(), 500)
    await harness.wake()
    assert "chat_taken" in harness.router.heartbeats[-1]["counters"]


@pytest.mark.parametrize(("spent", "paused"), [(10, True), (9, False)])
async def test_a_room_that_opens_with_a_spent_budget_listens_to_nobody(
    monkeypatch: pytest.MonkeyPatch, spent: int, paused: bool
) -> None:
    paused_at_start, notices = list[bool](), list[str]()

    async def start(manager: ConversationManager) -> None:
        paused_at_start.append(manager.is_stt_paused())

    monkeypatch.setattr(ConversationManager, "start", start)
    monkeypatch.setattr(Transcription, "notice", lambda _, text: notices.append(text))
    router = OfflineRouter()
    harness = SessionHarness(router, monkeypatch)
    speech = RoomSpeech(harness.room.as_room, router.client, "http://router.invalid", SETTINGS)
    await speech.start(opened_room(budget=TenantBudget(spent_nanousd=spent, limit_nanousd=10)))
    assert paused_at_start == [paused] and notices == [NOTICE_TEXTS[Trouble.BUDGET]] * paused
    await speech.aclose()
    await speech.close_usage()
    await harness.session.aclose()


async def test_a_room_has_its_tenants_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    notices = list[str]()
    monkeypatch.setattr(Transcription, "notice", lambda _, text: notices.append(text))
    harness = SessionHarness(OfflineRouter(), monkeypatch)
    speech = RoomSpeech(harness.room.as_room, harness.router.client, "http://router.invalid", SETTINGS)
    agent = TenantAgent(names=("Ada", "Ay da"), instructions="Answer like a pirate.", greeting="Ahoy.", tier="simple")
    await speech.start(opened_room(agent=agent))
    assert harness.room.local_participant.name == "Ada" and notices == []
    harness.room.add("ann", "Ann Lee")
    speech.follow()
    speech.follow()
    assert notices == ["Ahoy."]
    turn = await speech.context.turn("What is left to do?", "Ann Lee", "ann")
    assert "You take part in a live meeting as Ada." in turn.instructions and "Answer like a pirate." in turn.company
    assert speech.voice is not None and speech.voice._settings.names == ("Ada", "Ay da")
    assert speech._llm is not None and speech._llm._llm.model == "simple"
    await speech.aclose()
    await speech.close_usage()
    await harness.session.aclose()


async def test_the_last_heartbeat_is_repeated_until_all_usage_is_billed(
    harness_with_speech: tuple[SessionHarness, RoomSpeech],
) -> None:
    harness, speech = harness_with_speech
    await harness.start()
    speech.usage.count(("tts", "eleven_flash_v2_5", ""), 40)
    harness.router.heartbeat_statuses.extend([503, 401])
    closing = asyncio.create_task(harness.session.aclose())
    for _ in range(2):
        await until(lambda: harness.slept_s[-1] == LAST_HEARTBEAT_EVERY_S or closing.done())
        harness.slept_s.append(0.0)
        harness.wake_ups.release()
    await asyncio.wait_for(closing, 10.0)
    assert [[event["characters"] for event in heartbeat["usage"]] for heartbeat in harness.router.heartbeats] == [
        [40]
    ] * 3
    assert speech.usage.settled and harness.router.closed == 1 and harness.router.opened == 2


async def test_a_yes_in_chat_or_speech_agrees_to_the_call_of_the_person_who_says_it_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    harness = SessionHarness(OfflineRouter(), monkeypatch)
    speech = RoomSpeech(harness.room.as_room, harness.router.client, "http://router.invalid", SETTINGS)
    await speech.start(opened_room())
    for identity in ("ann", "bob"):
        harness.room.add(identity, identity.title())
    assert speech.voice is not None
    responder = speech.voice.responder
    tool = ListedRoomTool(name="shop_cancel", title="Cancel", description="", parameters={}, digest="0" * 32)
    call = ProposedCall(identity="ann", tool=tool, arguments={}, call_id="c1")
    for medium in ("chat", "speech"):
        responder.tools.confirmation.propose(call)
        responder.tools.confirmation.on_answer_ended(True, time.monotonic())
        for identity in ("bob", "ann"):
            if medium == "chat":
                message = ReceivedMessage(identity=identity, text="Yes.", received_at_s=time.monotonic())
                speech.voice.on_chat_message(message)
            else:
                said = Utterance(identity=identity, track="TR", text="Yes.", ended_at_s=time.monotonic(), spoken_s=1.0)
                speech.voice.on_final(said)
        agreed = responder.queue.take_all()
        assert [(one.identity, one.confirmed, one.unsure) for one in agreed] == [("ann", call, False)]
    await speech.aclose()
    await speech.close_usage()
    await harness.session.aclose()


async def test_speech_and_chat_are_recorded_whether_or_not_they_address_the_agent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    harness, recorder = SessionHarness(OfflineRouter(), monkeypatch), recorder_in(tmp_path)
    await recorder.begin(TenantAgent(record="report"))
    speech = RoomSpeech(
        harness.room.as_room, harness.router.client, "http://router.invalid", SETTINGS, recorder=recorder
    )
    await speech.start(opened_room())
    harness.room.add("ann", "Ann Lee")
    harness.room.add("bob", "Bob")
    assert speech.voice is not None
    said_by_ann = Utterance(identity="ann", track="TR_1", text="Good morning, Bob.", ended_at_s=1.0, spoken_s=1.0)
    speech.voice.on_final(said_by_ann)
    speech.voice.on_chat_message(ReceivedMessage(identity="bob", text="Rayroom, hello?", received_at_s=2.0))
    await speech.aclose()
    await speech.close_usage()
    await recorder.aclose(harness.router.client)
    (part,) = harness.router.record_parts
    said = [(entry["medium"], entry["name"], entry["text"]) for entry in part["entries"]]
    assert said == [("speech", "Ann Lee", "Good morning, Bob."), ("chat", "Bob", "Rayroom, hello?")]
    await harness.session.aclose()
