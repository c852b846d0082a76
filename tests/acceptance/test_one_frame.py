"""A frame travels from a participant's screen over WebRTC to the vendor, and its description to the room."""

from __future__ import annotations

import asyncio

from livekit import rtc

from tests.support.eventually import eventually
from tests.support.meeting import dispatch
from tests.support.screen_share_participant import joined_with_screen
from tests.support.stack import Stack


async def wait_for_sampled_tracks(stack: Stack, room: str, tracks: int, timeout_s: float = 60.0) -> None:
    async with asyncio.timeout(timeout_s):
        while (await stack.counters(room)).get("tracks_watched") != tracks:
            await asyncio.sleep(0.2)


async def test_a_shared_slide_is_described_in_its_room(stack: Stack) -> None:
    room = "tenant_acme_first-slide"
    async with joined_with_screen(stack.livekit, room) as ann:
        await dispatch(stack.livekit, room, {"tenant_id": "acme", "meeting_id": "first-slide"})
        sid = await ann.share_screen()
        await eventually(lambda: ann.descriptions)
        first = ann.descriptions[0]
        assert first.text.startswith("[simulated ") and first.attributes["simulated"] == "true"
        assert first.attributes["track"] == sid and int(first.attributes["cost_nanousd"]) > 0
        ann.slide = 2
        await eventually(lambda: len(ann.descriptions) > 1)


async def test_an_unchanged_screen_sends_no_further_frame(stack: Stack) -> None:
    room = "tenant_acme_still"
    async with joined_with_screen(stack.livekit, room) as ann:
        await dispatch(stack.livekit, room, {"tenant_id": "acme"})
        await ann.share_screen()
        await eventually(lambda: ann.descriptions)
        # The encoder sharpens a new picture for some seconds; after that the picture is constant.
        await asyncio.sleep(4)
        before = await stack.counters(room)
        await asyncio.sleep(5)
        after = await stack.counters(room)
    assert after["frames_seen"] >= before["frames_seen"] + 3
    assert after["frames_kept"] == before["frames_kept"]
    assert after["frames_seen"] == after["frames_kept"] + after["frames_repeated"]


async def test_tracks_are_sampled_as_they_are_published_muted_and_unpublished(stack: Stack) -> None:
    room = "tenant_globex_tracks"
    async with joined_with_screen(stack.livekit, room) as ann:
        await dispatch(stack.livekit, room, {"tenant_id": "globex"})
        await eventually(ann.agents)
        camera = await ann.share_screen(rtc.TrackSource.SOURCE_CAMERA)
        await wait_for_sampled_tracks(stack, room, 1)
        screen = await ann.share_screen()
        await eventually(lambda: any(description.attributes["track"] == screen for description in ann.descriptions))
        await wait_for_sampled_tracks(stack, room, 1)
        ann.room.local_participant.track_publications[screen].track.mute()  # type: ignore[union-attr]
        ann.slide = 2
        await eventually(lambda: ann.descriptions[-1].attributes["track"] == camera)
        ann.room.local_participant.track_publications[screen].track.unmute()  # type: ignore[union-attr]
        ann.slide = 3
        await eventually(lambda: ann.descriptions[-1].attributes["track"] == screen)
        await ann.stop_sharing()
        await ann.stop_sharing(rtc.TrackSource.SOURCE_CAMERA)
        await wait_for_sampled_tracks(stack, room, 0)


async def test_a_participant_who_leaves_and_returns_is_sampled_again(stack: Stack) -> None:
    room = "tenant_globex_again"
    async with joined_with_screen(stack.livekit, room, "bob") as bob:
        await dispatch(stack.livekit, room, {"tenant_id": "globex"})
        for _ in range(2):
            async with joined_with_screen(stack.livekit, room, "ann") as ann:
                sid = await ann.share_screen()
                await eventually(lambda sid=sid: sid in [text.attributes["track"] for text in bob.descriptions])  # type: ignore[misc]
            await wait_for_sampled_tracks(stack, room, 0)


async def test_an_agent_leaves_with_the_last_participant(stack: Stack) -> None:
    room = "tenant_acme_leaving"
    async with joined_with_screen(stack.livekit, room) as ann:
        await dispatch(stack.livekit, room, {"tenant_id": "acme"})
        await eventually(ann.agents)
        await ann.share_screen()
        await wait_for_sampled_tracks(stack, room, 1)
    async with asyncio.timeout(60):
        while await stack.counters(room):
            await asyncio.sleep(0.3)
