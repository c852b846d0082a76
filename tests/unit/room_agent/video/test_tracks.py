"""The tracks of a room are subscribed, sampled and ended as participants share, mute and leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from livekit import rtc
from structlog.testing import capture_logs

from room_agent.core.counters import Counters
from room_agent.core.models import FrameDescribed, FrameKept, TrackEnded
from room_agent.core.router_client import RoomLimits
from room_agent.core.track_settings import TrackSettings, TrackSettingsClient
from room_agent.video.events import FrameEvents
from room_agent.video.frame_rate import ALL
from room_agent.video.tracks import VideoTracks, watched_sources
from routing.models import TenantAgent
from tests.support.screens import Desktop
from tests.unit.room_agent.offline import (
    LIMITS,
    OfflineNewestFrame,
    OfflinePublication,
    OfflineRoom,
    OfflineRouter,
    until,
)

CAMERA = rtc.TrackSource.SOURCE_CAMERA


class RecordedTrackSettings(TrackSettingsClient):
    """Stores the frames that are asked for."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9")
        self.asked: list[TrackSettings] = []

    async def set(self, settings: TrackSettings) -> bool:
        self.asked.append(settings)
        return True


class TracksHarness:
    """The video tracks of a room without an SFU, and the events that they emit."""

    def __init__(self, router: OfflineRouter) -> None:
        self.router = router
        self.room, self.counters, self.events = OfflineRoom(), Counters(), FrameEvents()
        self.settings = RecordedTrackSettings()
        self.kept: list[FrameKept] = []
        self.described: list[FrameDescribed] = []
        self.ended: list[TrackEnded] = []
        self.events.kept.append(self.kept.append)
        self.events.described.append(self.described.append)
        self.events.track_ended.append(self.ended.append)
        self.tracks = VideoTracks(self.room.as_room, router.client, self.counters, self.events, 2, self.settings)
        self.ann = self.room.add("ann", "Ann Lee")
        self.agent = TenantAgent()

    def follow(self) -> int:
        """Handle a room event; return the number of sampled tracks."""
        self.tracks.follow(RoomLimits.model_validate(LIMITS), watched_sources(self.agent))
        return self.counters.tracks_watched

    def show(self, publication: OfflinePublication) -> None:
        assert publication.track is not None
        publication.track.show(Desktop().planes())


@pytest.fixture
async def harness(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TracksHarness]:
    monkeypatch.setattr("room_agent.video.sampler.NewestFrame", OfflineNewestFrame)
    harness = TracksHarness(OfflineRouter())
    yield harness
    await harness.tracks.aclose()


async def test_a_shared_screen_is_subscribed_sampled_and_described(harness: TracksHarness) -> None:
    await harness.router.client.open()
    screen = harness.ann.publish(OfflinePublication("TR_s"))
    assert harness.follow() == 1 and screen.subscribed
    harness.show(screen)
    await until(lambda: harness.described)
    assert harness.router.frames[0]["x-frame-participant"] == "ann"
    track = harness.described[0].track
    assert (track.sid, track.source, track.shared_by, track.identity) == ("TR_s", "screen_share", "Ann Lee", "ann")
    assert harness.router.frames[0]["x-frame-track"] == "TR_s" and len(harness.kept) == 1


async def test_a_participant_without_a_name_is_named_by_the_identity(harness: TracksHarness) -> None:
    screen = harness.room.add("p-7").publish(OfflinePublication("TR_s"))
    harness.follow()
    harness.show(screen)
    await until(lambda: harness.kept)
    assert harness.kept[0].track.shared_by == "p-7"


async def test_a_camera_is_dropped_when_somebody_shares_a_screen(harness: TracksHarness) -> None:
    camera = harness.ann.publish(OfflinePublication("TR_c", source=CAMERA))
    assert harness.follow() == 1 and camera.subscribed
    screen = harness.ann.publish(OfflinePublication("TR_s"))
    assert harness.follow() == 1
    assert screen.subscribed and not camera.subscribed
    assert [event.track.sid for event in harness.ended] == ["TR_c"]


async def test_a_source_that_the_tenant_leaves_out_is_never_subscribed(harness: TracksHarness) -> None:
    harness.agent = TenantAgent(watches_cameras=False)
    camera = harness.ann.publish(OfflinePublication("TR_c", source=CAMERA))
    assert harness.follow() == 0 and not camera.subscribed
    screen = harness.ann.publish(OfflinePublication("TR_s"))
    assert harness.follow() == 1 and screen.subscribed


async def test_audio_and_unknown_sources_are_ignored(harness: TracksHarness) -> None:
    harness.ann.publish(OfflinePublication("TR_a", kind=rtc.TrackKind.KIND_AUDIO))
    harness.ann.publish(OfflinePublication("TR_u", source=rtc.TrackSource.SOURCE_UNKNOWN))
    assert harness.follow() == 0


async def test_no_more_tracks_are_sampled_than_allowed(harness: TracksHarness) -> None:
    screens = [harness.ann.publish(OfflinePublication(f"TR_{number}")) for number in range(3)]
    assert harness.follow() == 2 and [screen.subscribed for screen in screens] == [True, True, False]


async def test_a_muted_track_ends_and_its_last_frame_is_still_described(harness: TracksHarness) -> None:
    screen = harness.ann.publish(OfflinePublication("TR_s"))
    harness.follow()
    harness.router.answering.clear()
    harness.show(screen)
    await until(lambda: "POST /v1/frames" in harness.router.requests)
    (sampled,) = harness.tracks._sampled.values()
    screen.muted = True
    assert harness.follow() == 0 and [event.track.sid for event in harness.ended] == ["TR_s"]
    await until(lambda: sampled.sampling.done())
    assert harness.described == [] and not sampled.sending.done()
    harness.router.answering.set()
    await until(lambda: harness.described)


async def test_a_track_that_is_not_yet_subscribed_waits_for_its_event(harness: TracksHarness) -> None:
    screen = harness.ann.publish(OfflinePublication("TR_s", subscribed=True))
    assert harness.follow() == 0
    screen.set_subscribed(True)
    assert harness.follow() == 1


async def test_a_sampler_that_failed_starts_again_without_an_end_event(harness: TracksHarness) -> None:
    screen = harness.ann.publish(OfflinePublication("TR_s"))
    harness.follow()
    assert screen.track is not None
    screen.track.frames.put_nowait("no frame")  # type: ignore[arg-type]
    (sampled,) = harness.tracks._sampled.values()
    await asyncio.wait({sampled.sampling}, timeout=5.0)
    assert sampled.sampling.exception() is not None
    assert harness.follow() == 1 and harness.ended == []
    harness.show(screen)
    await until(lambda: harness.described)


async def test_closing_ends_every_task_and_stream(harness: TracksHarness) -> None:
    screen = harness.ann.publish(OfflinePublication("TR_s"))
    harness.follow()
    track = screen.track
    assert track is not None
    await until(lambda: track.streams)
    await harness.tracks.aclose()
    await asyncio.to_thread(lambda: None)
    assert track.streams[0].closed and len(harness.tracks._tasks) == 0


async def test_an_encrypted_share_is_neither_subscribed_nor_described(harness: TracksHarness) -> None:
    encrypted = OfflinePublication("TR_s", encryption_type=rtc.EncryptionType.GCM)
    harness.ann.publish(encrypted)
    with capture_logs() as logs:
        assert [harness.follow(), harness.follow()] == [0, 0]
    assert not encrypted.subscribed and harness.counters.tracks_encrypted == 1
    assert [entry["event"] for entry in logs] == ["track refused"] and "encrypted" in logs[0]["reason"]


async def test_a_share_beside_an_encrypted_one_is_sampled(harness: TracksHarness) -> None:
    harness.ann.publish(OfflinePublication("TR_e", encryption_type=rtc.EncryptionType.GCM))
    screen = harness.ann.publish(OfflinePublication("TR_s"))
    assert harness.follow() == 1 and screen.subscribed


async def test_fewer_frames_are_asked_for_while_a_screen_moves_and_all_of_them_at_its_rest(
    harness: TracksHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("room_agent.video.tracks.OBSERVE_EVERY_S", 0.01)
    screen = harness.ann.publish(OfflinePublication("TR_s"))
    harness.follow()

    def moves() -> bool:
        harness.show(screen)
        return bool(harness.settings.asked)

    await until(moves)
    await until(lambda: len(harness.settings.asked) > 1)
    assert harness.settings.asked == [
        TrackSettings(track_sid="TR_s", fps=1),
        TrackSettings(track_sid="TR_s", fps=ALL, key_frame=True),
    ]


async def test_a_track_that_ended_is_asked_for_nothing(harness: TracksHarness) -> None:
    screen = harness.ann.publish(OfflinePublication("TR_s"))
    harness.follow()
    screen.muted = True
    harness.follow()
    await until(lambda: not [task for task in asyncio.all_tasks() if "TR_s" in task.get_name()])
