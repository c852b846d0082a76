"""The publisher process shares a real screen in a real room, and ends with its parent."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from livekit import rtc

from room_agent.session import TOPIC
from tests.support.livekit_server import LiveKit

ROOM = "tenant_acme_standup"
TIMEOUT_S = 60.0


@asynccontextmanager
async def publisher(url: str, tokens: dict[str, str], rooms: str = ROOM) -> AsyncIterator[asyncio.subprocess.Process]:
    """Yield a publisher in its own process group; fail on exit if a process of the group still runs."""
    command = ["-m", "cluster.lab.stack.screen_publisher", "--url", url, "--rooms", rooms, "--tokens-stdin"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(tokens).encode() + b"\n")
    try:
        yield process
    finally:
        process.stdin.close()
        async with asyncio.timeout(TIMEOUT_S):
            await process.wait()
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)


@asynccontextmanager
async def subscribed(livekit: LiveKit) -> AsyncIterator[tuple[rtc.Room, asyncio.Queue[rtc.Track]]]:
    """Yield a subscriber's room and its subscribed tracks."""
    room, tracks = rtc.Room(), asyncio.Queue[rtc.Track]()
    room.on("track_subscribed", lambda track, *_: tracks.put_nowait(track))
    async with asyncio.timeout(TIMEOUT_S):
        await room.connect(livekit.url, livekit.token(ROOM, "viewer"))
    try:
        yield room, tracks
    finally:
        async with asyncio.timeout(TIMEOUT_S):
            await room.disconnect()


async def next_line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """Return the next line that a publisher prints."""
    assert process.stdout is not None
    async with asyncio.timeout(TIMEOUT_S):
        line: dict[str, Any] = json.loads(await process.stdout.readline())
    return line


async def first_frame(track: rtc.Track) -> rtc.VideoFrame:
    stream = rtc.VideoStream(track, capacity=1)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return (await anext(aiter(stream))).frame
    finally:
        await stream.aclose()


async def test_a_subscriber_sees_the_screen_until_the_publishers_stdin_is_closed(livekit: LiveKit) -> None:
    async with (
        subscribed(livekit) as (room, tracks),
        publisher(livekit.url, {ROOM: livekit.token(ROOM, "sharer")}) as process,
    ):
        assert await next_line(process) == {"event": "connected", "room": ROOM}
        async with asyncio.timeout(TIMEOUT_S):
            track = await tracks.get()
        frame = await first_frame(track)
        assert (frame.width, frame.height) == (1280, 720)
        await room.local_participant.send_text("a description", topic=TOPIC)
        assert await next_line(process) == {"event": "answered", "room": ROOM}
        assert process.stdin is not None
        process.stdin.close()
        end_event = await next_line(process)
        async with asyncio.timeout(TIMEOUT_S):
            assert await process.wait() == 0
    assert end_event["event"] == "ended"
    assert end_event["rooms"][ROOM]["answers"] == 1
    assert end_event["rooms"][ROOM]["frames"] >= 1


async def test_a_refused_token_ends_the_publisher_with_the_rooms_name_and_no_token(livekit: LiveKit) -> None:
    invalid_token = livekit.token(ROOM, "sharer")[:-8] + "tampered"
    async with publisher(livekit.url, {ROOM: invalid_token}) as process:
        async with asyncio.timeout(TIMEOUT_S):
            output, error = await process.communicate()
        assert process.returncode == 1
        assert f"room {ROOM}: ConnectError".encode() in error
        assert invalid_token.encode() not in output + error


async def test_a_room_without_a_token_is_named(livekit: LiveKit) -> None:
    rooms = f"{ROOM},tenant_acme_other"
    async with publisher(livekit.url, {ROOM: livekit.token(ROOM, "sharer")}, rooms) as process:
        async with asyncio.timeout(TIMEOUT_S):
            _, error = await process.communicate()
    assert process.returncode == 1
    assert error == b"stdin: there is no token for tenant_acme_other.\n"
