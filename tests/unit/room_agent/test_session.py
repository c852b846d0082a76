"""A session opens its room at the router, follows it, sends heartbeats through every failure, and closes it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from livekit import rtc
from structlog.testing import capture_logs

from room_agent.core.models import FrameDescribed
from room_agent.core.settings import SpeechSettings
from room_agent.session import LAST_HEARTBEAT_EVERY_S, LONGEST_BACKOFF_S, TOPIC, RoomSession, RoomSpeech
from tests.support.screens import Desktop
from tests.unit.room_agent.offline import (
    LIMITS,
    OfflinePublication,
    OfflineRoom,
    OfflineRouter,
    OfflineStream,
    until,
)

HEARTBEAT_S = LIMITS["heartbeat_every_s"]


class Attended:
    """A session in a room without an SFU. Its sleeps end when a test wakes it."""

    def __init__(self, router: OfflineRouter, monkeypatch: pytest.MonkeyPatch) -> None:
        self.router, self.room = router, OfflineRoom()
        self.session = RoomSession(self.room.as_room, router.client, max_tracks=2)
        self.slept_s: list[float] = []
        self.woken = asyncio.Semaphore(0)
        monkeypatch.setattr(rtc, "VideoStream", OfflineStream)
        monkeypatch.setattr(asyncio, "sleep", self._sleep)
        # The jitter's upper end: waits are exact.
        monkeypatch.setattr(random, "uniform", lambda low, high: high)

    async def wake(self) -> None:
        """End the present sleep, and wait for the next one."""
        sleeps = len(self.slept_s)
        self.woken.release()
        await until(lambda: len(self.slept_s) > sleeps)

    async def start(self) -> None:
        self.session.start()
        await until(lambda: self.slept_s)

    async def _sleep(self, delay_s: float) -> None:
        self.slept_s.append(delay_s)
        await self.woken.acquire()

    def share(self) -> OfflinePublication:
        return self.room.add("ann", "Ann").publish(OfflinePublication("TR_s"))


@pytest.fixture
async def attended(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Attended]:
    async with OfflineRouter().running() as router:
        attended = Attended(router, monkeypatch)
        yield attended
        await attended.session.aclose()


async def test_an_open_room_is_sampled_and_sends_heartbeats_at_the_routers_interval(attended: Attended) -> None:
    screen = attended.share()
    await attended.start()
    assert attended.router.opened == 1 and screen.subscribed
    for _ in range(3):
        await attended.wake()
    assert attended.slept_s == [HEARTBEAT_S] * 4
    assert [one["counters"]["tracks_watched"] for one in attended.router.heartbeats] == [1, 1, 1]


async def test_nothing_is_subscribed_before_the_room_is_open(attended: Attended) -> None:
    attended.router.open_statuses.append(503)
    screen = attended.share()
    await attended.start()
    attended.room.emit("track_published")
    assert not screen.subscribed
    await attended.wake()
    assert screen.subscribed


async def test_the_wait_for_a_router_that_is_down_doubles_up_to_a_limit(attended: Attended) -> None:
    attended.router.open_statuses.extend([503] * 7)
    await attended.start()
    for _ in range(7):
        await attended.wake()
    assert attended.slept_s == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, HEARTBEAT_S]


async def test_a_refused_room_is_opened_again_after_the_longest_wait(attended: Attended) -> None:
    attended.router.open_statuses.extend([403, 503])
    await attended.start()
    await attended.wake()
    await attended.wake()
    assert attended.slept_s == [LONGEST_BACKOFF_S, LONGEST_BACKOFF_S, HEARTBEAT_S] and attended.router.opened == 3


async def test_room_events_are_handled_at_once_and_ignored_after_close(attended: Attended) -> None:
    await attended.start()
    screen = attended.share()
    attended.room.emit("track_published")
    assert screen.subscribed and attended.session.counters.tracks_watched == 1
    await attended.session.aclose()
    screen.set_subscribed(False)
    attended.room.emit("track_published")
    assert not screen.subscribed


@pytest.mark.parametrize("status", [403, 429, 500])
async def test_heartbeats_continue_after_a_failed_one(attended: Attended, status: int) -> None:
    await attended.start()
    attended.router.heartbeat_statuses.append(status)
    await attended.wake()
    await attended.wake()
    assert len(attended.router.heartbeats) == 2


async def test_an_expired_token_opens_the_room_again(attended: Attended) -> None:
    await attended.start()
    attended.router.heartbeat_statuses.append(401)
    await attended.wake()
    assert attended.router.opened == 2 and attended.router.client.token == "token-2"


async def test_heartbeats_continue_after_a_programming_error(
    attended: Attended, monkeypatch: pytest.MonkeyPatch
) -> None:
    await attended.start()
    failures: list[str] = []

    def fail(*_: Any) -> None:
        failures.append("raised")
        raise IndexError

    monkeypatch.setattr(attended.session._tracks, "follow", fail)
    await attended.wake()
    monkeypatch.setattr(attended.session.counters.__class__, "report", fail)
    await attended.wake()
    monkeypatch.undo()
    assert len(failures) == 3 and len(attended.router.heartbeats) == 1


async def test_a_description_is_sent_to_the_room_with_its_cost(attended: Attended) -> None:
    screen = attended.share()
    await attended.start()
    assert screen.track is not None
    screen.track.show(Desktop().planes())
    await until(lambda: attended.room.local_participant.sent)
    ((text, topic, attributes),) = attended.room.local_participant.sent
    assert (text, topic) == ("a slide", TOPIC)
    captured_at = attributes.pop("captured_at")
    assert captured_at == attended.router.frames[0]["x-frame-captured-at"]
    assert attributes == {
        "model": "simulated/m",
        "tier": "simple",
        "simulated": "true",
        "cost_nanousd": "7",
        "track": "TR_s",
    }


async def test_a_failure_to_send_a_description_is_counted_and_hides_it_from_no_subscriber(
    attended: Attended,
) -> None:
    received: list[FrameDescribed] = []
    attended.session.events.described.append(received.append)
    attended.room.local_participant.error = OSError()
    screen = attended.share()
    await attended.start()
    assert screen.track is not None
    screen.track.show(Desktop().planes())
    await until(lambda: received)
    assert attended.session.counters.answers_lost == 1


async def test_closing_reports_the_last_counters_and_closes_the_room_once(attended: Attended) -> None:
    await attended.start()
    await attended.session.aclose()
    await attended.session.aclose()
    assert len(attended.router.heartbeats) == 1 and attended.router.closed == 1


async def test_a_room_that_was_never_open_is_not_closed(attended: Attended) -> None:
    attended.router.open_statuses.append(503)
    await attended.start()
    await attended.session.aclose()
    assert attended.router.closed == 0 and attended.router.heartbeats == []


async def test_an_unreachable_router_does_not_delay_the_end_of_a_job(attended: Attended) -> None:
    await attended.start()
    attended.router.heartbeat_statuses.append(503)
    await attended.session.aclose()
    assert attended.router.closed == 0


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


@pytest.fixture
async def speaking(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Attended, RoomSpeech]]:
    """Yield a session with a conversation that cannot start: frames and usage are recorded all the same."""

    async def fail(_: RoomSpeech) -> None:
        raise OSError("words of a participant")

    monkeypatch.setattr(RoomSpeech, "start", fail)
    async with OfflineRouter().running() as router:
        attended = Attended(router, monkeypatch)
        speech = RoomSpeech(attended.room.as_room, router.client, "http://router.invalid", SETTINGS)
        attended.session = RoomSession(attended.room.as_room, router.client, max_tracks=2, speech=speech)
        yield attended, speech
        await attended.session.aclose()


async def test_frames_and_heartbeats_continue_when_the_conversation_cannot_start(
    speaking: tuple[Attended, RoomSpeech],
) -> None:
    attended, speech = speaking
    screen = attended.share()
    with capture_logs() as lines:
        await attended.start()
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["conversation start failed"]
    assert "words" not in str(lines)
    assert screen.track is not None
    screen.track.show(Desktop().planes())
    await until(lambda: speech.context._memory.shown_now() == ["a slide"])
    screen.muted = True
    attended.room.emit("track_muted")
    assert speech.context._memory.shown_now() == []
    await attended.wake()
    assert "chat_taken" in attended.router.heartbeats[-1]["counters"]


async def test_the_last_heartbeat_is_repeated_until_all_usage_is_billed(speaking: tuple[Attended, RoomSpeech]) -> None:
    attended, speech = speaking
    await attended.start()
    speech.usage.count("tts", "eleven_flash_v2_5", 40)
    attended.router.heartbeat_statuses.extend([503, 401])
    closing = asyncio.create_task(attended.session.aclose())
    for _ in range(2):
        await until(lambda: attended.slept_s[-1] == LAST_HEARTBEAT_EVERY_S or closing.done())
        attended.slept_s.append(0.0)
        attended.woken.release()
    await asyncio.wait_for(closing, 10.0)
    assert [[one["characters"] for one in heartbeat["usage"]] for heartbeat in attended.router.heartbeats] == [[40]] * 3
    assert speech.usage.settled and attended.router.closed == 1 and attended.router.opened == 2
