"""A session opens its room at the router, samples its tracks, sends heartbeats through every failure, and closes it."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from room_agent.core.models import FrameDescribed
from room_agent.records.spool import spooled_paths
from room_agent.session import LONGEST_BACKOFF_S, TOPIC, RoomSession
from tests.support.screens import Desktop
from tests.unit.room_agent.offline import LIMITS, ROOM, OfflineRouter, until
from tests.unit.room_agent.session_harness import SessionHarness, recorder_in

HEARTBEAT_S = LIMITS["heartbeat_every_s"]


@pytest.fixture
async def harness(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SessionHarness]:
    harness = SessionHarness(OfflineRouter(), monkeypatch)
    yield harness
    await harness.session.aclose()


async def test_an_open_room_is_sampled_and_sends_heartbeats_at_the_routers_interval(harness: SessionHarness) -> None:
    screen = harness.share_screen()
    await harness.start()
    assert harness.router.opened == 1 and screen.subscribed
    for _ in range(3):
        await harness.wake()
    assert harness.slept_s == [HEARTBEAT_S] * 4
    assert [heartbeat["counters"]["tracks_watched"] for heartbeat in harness.router.heartbeats] == [1, 1, 1]


async def test_nothing_is_subscribed_before_the_room_is_open(harness: SessionHarness) -> None:
    harness.router.open_statuses.append(503)
    screen = harness.share_screen()
    await harness.start()
    harness.room.emit("track_published")
    assert not screen.subscribed
    await harness.wake()
    assert screen.subscribed


async def test_the_wait_for_a_router_that_is_down_doubles_up_to_a_limit(harness: SessionHarness) -> None:
    harness.router.open_statuses.extend([503] * 7)
    await harness.start()
    for _ in range(7):
        await harness.wake()
    assert harness.slept_s == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, HEARTBEAT_S]


async def test_a_refused_room_is_opened_again_after_the_longest_wait(harness: SessionHarness) -> None:
    harness.router.open_statuses.extend([403, 503])
    await harness.start()
    await harness.wake()
    await harness.wake()
    assert harness.slept_s == [LONGEST_BACKOFF_S, LONGEST_BACKOFF_S, HEARTBEAT_S] and harness.router.opened == 3


async def test_room_events_are_handled_at_once_and_ignored_after_close(harness: SessionHarness) -> None:
    await harness.start()
    screen = harness.share_screen()
    harness.room.emit("track_published")
    assert screen.subscribed and harness.session.counters.tracks_watched == 1
    await harness.session.aclose()
    screen.set_subscribed(False)
    harness.room.emit("track_published")
    assert not screen.subscribed


@pytest.mark.parametrize("status", [403, 429, 500])
async def test_heartbeats_continue_after_a_failed_one(harness: SessionHarness, status: int) -> None:
    await harness.start()
    harness.router.heartbeat_statuses.append(status)
    await harness.wake()
    await harness.wake()
    assert len(harness.router.heartbeats) == 2


async def test_an_expired_token_opens_the_room_again(harness: SessionHarness) -> None:
    await harness.start()
    harness.router.heartbeat_statuses.append(401)
    await harness.wake()
    assert harness.router.opened == 2 and harness.router.client.token == "token-2"


async def test_heartbeats_continue_after_a_programming_error(
    harness: SessionHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.start()
    failures: list[str] = []

    def fail(*_: Any) -> None:
        failures.append("raised")
        raise IndexError

    monkeypatch.setattr(harness.session._tracks, "follow", fail)
    await harness.wake()
    monkeypatch.setattr(harness.session.counters.__class__, "report", fail)
    await harness.wake()
    monkeypatch.undo()
    assert len(failures) == 3 and len(harness.router.heartbeats) == 1


async def test_a_description_is_sent_to_the_room_with_its_cost(harness: SessionHarness) -> None:
    screen = harness.share_screen()
    await harness.start()
    assert screen.track is not None
    screen.track.show(Desktop().planes())
    await until(lambda: harness.room.local_participant.sent)
    ((text, topic, attributes),) = harness.room.local_participant.sent
    assert (text, topic) == ("a slide", TOPIC)
    captured_at = attributes.pop("captured_at")
    assert captured_at == harness.router.frames[0]["x-frame-captured-at"]
    assert attributes == {
        "model": "simulated/m",
        "tier": "simple",
        "simulated": "true",
        "cost_nanousd": "7",
        "track": "TR_s",
    }


async def test_a_failure_to_send_a_description_is_counted_and_hides_it_from_no_subscriber(
    harness: SessionHarness,
) -> None:
    received: list[FrameDescribed] = []
    harness.session.events.described.append(received.append)
    harness.room.local_participant.error = OSError()
    screen = harness.share_screen()
    await harness.start()
    assert screen.track is not None
    screen.track.show(Desktop().planes())
    await until(lambda: received)
    assert harness.session.counters.answers_lost == 1


async def test_closing_reports_the_last_counters_and_closes_the_room_once(harness: SessionHarness) -> None:
    await harness.start()
    await harness.session.aclose()
    await harness.session.aclose()
    assert len(harness.router.heartbeats) == 1 and harness.router.closed == 1


async def test_a_room_that_was_never_open_is_not_closed(harness: SessionHarness) -> None:
    harness.router.open_statuses.append(503)
    await harness.start()
    await harness.session.aclose()
    assert harness.router.closed == 0 and harness.router.heartbeats == []


async def test_an_unreachable_router_does_not_delay_the_end_of_a_job(harness: SessionHarness) -> None:
    await harness.start()
    harness.router.heartbeat_statuses.append(503)
    await harness.session.aclose()
    assert harness.router.closed == 0


@pytest.mark.parametrize("status", [200, 503])
async def test_a_record_is_sent_after_the_bill_and_before_the_close_and_holds_up_neither(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int
) -> None:
    harness = SessionHarness(router := OfflineRouter(), monkeypatch)
    router.agent, router.record_statuses = {"record": "report"}, deque([status])
    recorder = recorder_in(tmp_path)
    harness.session = RoomSession(harness.room.as_room, router.client, max_tracks=2, recorder=recorder)
    screen = harness.share_screen()
    await harness.start()
    assert screen.track is not None
    screen.track.show(Desktop().planes())
    await until(lambda: recorder.report()["record_entries"] == 1)
    await harness.session.aclose()
    room = f"/v1/rooms/{ROOM}"
    assert router.requests[-3:] == [f"POST {room}/heartbeat", f"POST {room}/record", f"DELETE {room}"]
    assert router.heartbeats[-1]["counters"]["record_entries"] == 1
    assert [entry["text"] for entry in router.record_parts[0]["entries"]] == ["a slide"]
    assert len(spooled_paths(tmp_path)) == (0 if status == 200 else 1)
