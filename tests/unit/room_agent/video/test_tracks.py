"""The tracks of a room are subscribed, sampled and ended as participants share, mute and leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from livekit import rtc

from room_agent.core.counters import Counters
from room_agent.core.models import FrameDescribed, FrameKept, TrackEnded
from room_agent.core.router_client import RoomLimits
from room_agent.video.events import FrameEvents
from room_agent.video.tracks import VideoTracks
from tests.support.screens import Desktop
from tests.unit.room_agent.offline import LIMITS, OfflinePublication, OfflineRoom, OfflineRouter, OfflineStream, until

CAMERA = rtc.TrackSource.SOURCE_CAMERA


class Following:
    """The video tracks of a room without an SFU, and the events that they emit."""

    def __init__(self, router: OfflineRouter) -> None:
        self.router = router
        self.room, self.counters, self.events = OfflineRoom(), Counters(), FrameEvents()
        self.kept: list[FrameKept] = []
        self.described: list[FrameDescribed] = []
        self.ended: list[TrackEnded] = []
        self.events.kept.append(self.kept.append)
        self.events.described.append(self.described.append)
        self.events.track_ended.append(self.ended.append)
        self.tracks = VideoTracks(self.room.as_room, router.client, self.counters, self.events, max_tracks=2)
        self.ann = self.room.add("ann", "Ann Lee")

    def follow(self) -> int:
        """Follow the room as an event would; return the number of sampled tracks."""
        self.tracks.follow(RoomLimits.model_validate(LIMITS))
        return self.counters.tracks_watched

    def show(self, publication: OfflinePublication) -> None:
        assert publication.track is not None
        publication.track.show(Desktop().planes())


@pytest.fixture
async def following(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Following]:
    monkeypatch.setattr(rtc, "VideoStream", OfflineStream)
    async with OfflineRouter().running() as router:
        following = Following(router)
        yield following
        await following.tracks.aclose()


async def test_a_shared_screen_is_subscribed_sampled_and_described(following: Following) -> None:
    screen = following.ann.publish(OfflinePublication("TR_s"))
    assert following.follow() == 1 and screen.subscribed
    following.show(screen)
    await until(lambda: following.described)
    track = following.described[0].track
    assert (track.sid, track.source, track.shared_by, track.identity) == ("TR_s", "screen_share", "Ann Lee", "ann")
    assert following.router.frames[0]["x-frame-track"] == "TR_s" and len(following.kept) == 1


async def test_a_participant_without_a_name_is_named_by_the_identity(following: Following) -> None:
    screen = following.room.add("p-7").publish(OfflinePublication("TR_s"))
    following.follow()
    following.show(screen)
    await until(lambda: following.kept)
    assert following.kept[0].track.shared_by == "p-7"


async def test_a_camera_is_dropped_when_somebody_shares_a_screen(following: Following) -> None:
    camera = following.ann.publish(OfflinePublication("TR_c", source=CAMERA))
    assert following.follow() == 1 and camera.subscribed
    screen = following.ann.publish(OfflinePublication("TR_s"))
    assert following.follow() == 1
    assert screen.subscribed and not camera.subscribed
    assert [event.track.sid for event in following.ended] == ["TR_c"]


async def test_audio_and_unknown_sources_are_ignored(following: Following) -> None:
    following.ann.publish(OfflinePublication("TR_a", kind=rtc.TrackKind.KIND_AUDIO))
    following.ann.publish(OfflinePublication("TR_u", source=rtc.TrackSource.SOURCE_UNKNOWN))
    assert following.follow() == 0


async def test_no_more_tracks_are_sampled_than_allowed(following: Following) -> None:
    screens = [following.ann.publish(OfflinePublication(f"TR_{number}")) for number in range(3)]
    assert following.follow() == 2 and [screen.subscribed for screen in screens] == [True, True, False]


async def test_a_muted_track_ends_and_its_last_frame_is_still_described(following: Following) -> None:
    screen = following.ann.publish(OfflinePublication("TR_s"))
    following.follow()
    following.router.answering.clear()
    following.show(screen)
    await until(lambda: "POST /v1/frames" in following.router.requests)
    (sampled,) = following.tracks._sampled.values()
    screen.muted = True
    assert following.follow() == 0 and [event.track.sid for event in following.ended] == ["TR_s"]
    await until(lambda: sampled.sampling.done())
    assert following.described == [] and not sampled.sending.done()
    following.router.answering.set()
    await until(lambda: following.described)


async def test_a_track_that_is_not_yet_subscribed_waits_for_its_event(following: Following) -> None:
    screen = following.ann.publish(OfflinePublication("TR_s", subscribed=True))
    assert following.follow() == 0
    screen.set_subscribed(True)
    assert following.follow() == 1


async def test_a_sampler_that_failed_starts_again_without_an_end_event(following: Following) -> None:
    screen = following.ann.publish(OfflinePublication("TR_s"))
    following.follow()
    assert screen.track is not None
    screen.track.frames.put_nowait("no frame")  # type: ignore[arg-type]
    (sampled,) = following.tracks._sampled.values()
    await asyncio.wait({sampled.sampling}, timeout=5.0)
    assert sampled.sampling.exception() is not None
    assert following.follow() == 1 and following.ended == []
    following.show(screen)
    await until(lambda: following.described)


async def test_closing_ends_every_task_and_stream(following: Following) -> None:
    screen = following.ann.publish(OfflinePublication("TR_s"))
    following.follow()
    track = screen.track
    assert track is not None
    await until(lambda: track.streams)
    await following.tracks.aclose()
    await asyncio.to_thread(lambda: None)
    assert track.streams[0].closed and len(following.tracks._tasks) == 0
