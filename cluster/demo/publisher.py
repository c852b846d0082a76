"""Shares a scripted screen in rooms over WebRTC: `python -m cluster.demo.publisher`. Ends with its parent."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import math
import signal
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from livekit import rtc
from livekit.rtc.participant import PublishTrackError

from cluster.demo.screens import ScreenScript
from room_agent.attendance import TOPIC
from routing.errors import BadInput, RayroomError

WIDTH_PX, HEIGHT_PX = 1280, 720
MOST_BITS_PER_SECOND = 2_000_000
TOKENS_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 15.0
DISCONNECT_TIMEOUT_S = 3.0
# Enough for hundreds of tokens on one line.
LONGEST_LINE_BYTES = 1 << 20


class SharingFailed(RayroomError):
    """A screen could not be shared."""

    code = "sharing_failed"


class Sharer:
    """Shares one screen in one room until it is cancelled; counts the answers that come back, unread."""

    def __init__(self, room: str, seed: int, fps: float) -> None:
        self.frames = 0
        self.answers = 0
        self._name = room
        self._fps = fps
        self._script = ScreenScript(seed, WIDTH_PX, HEIGHT_PX)
        self._room = rtc.Room()
        self._gone = asyncio.Event()
        self._room.on("disconnected", lambda _: self._gone.set())
        self._room.register_text_stream_handler(TOPIC, self._count)

    async def run(self, url: str, token: str) -> None:
        """Connect and share, and leave the room in whatever way this ends; raises SharingFailed."""
        source = rtc.VideoSource(WIDTH_PX, HEIGHT_PX, is_screencast=True)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._room.connect(url, token, rtc.RoomOptions(auto_subscribe=False))
                await self._publish(source)
            say({"event": "connected", "room": self._name})
            await self._capture(source)
        except (rtc.ConnectError, PublishTrackError, TimeoutError) as error:
            raise SharingFailed(f"room {self._name}: {type(error).__name__} at {url}") from None
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DISCONNECT_TIMEOUT_S):
                    await self._room.disconnect()
            await source.aclose()

    async def _publish(self, source: rtc.VideoSource) -> None:
        options = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_SCREENSHARE,
            video_encoding=rtc.VideoEncoding(max_bitrate=MOST_BITS_PER_SECOND, max_framerate=self._fps),
            # One layer: the first picture that arrives has the full size.
            simulcast=False,
        )
        track = rtc.LocalVideoTrack.create_video_track("screen", source)
        await self._room.local_participant.publish_track(track, options)

    async def _capture(self, source: rtc.VideoSource) -> None:
        """Capture at an even pace, leaving out pictures that are late; raises SharingFailed when the server is gone."""
        started_s = time.monotonic()
        while not self._gone.is_set():
            at_s = time.monotonic() - started_s
            planes = self._script.i420(at_s)
            source.capture_frame(rtc.VideoFrame(WIDTH_PX, HEIGHT_PX, rtc.VideoBufferType.I420, planes))
            self.frames += 1
            due_s = (math.floor(at_s * self._fps) + 1) / self._fps
            await asyncio.sleep(started_s + due_s - time.monotonic())
        raise SharingFailed(f"room {self._name}: the server ended the connection.")

    def _count(self, reader: rtc.TextStreamReader, _: str) -> None:
        self.answers += 1
        reader.close()
        if self.answers == 1:
            say({"event": "answered", "room": self._name})


async def share_screens(url: str, tokens: Mapping[str, str], fps: float, seed: int) -> None:
    """Share a screen in every room of `tokens` until cancelled; the first that fails ends all, with SharingFailed."""
    sharers = {room: Sharer(room, seed + number, fps) for number, room in enumerate(tokens)}
    try:
        async with asyncio.TaskGroup() as rooms:
            for room, sharer in sharers.items():
                rooms.create_task(sharer.run(url, tokens[room]), name=room)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        counts = {room: {"frames": sharer.frames, "answers": sharer.answers} for room, sharer in sharers.items()}
        say({"event": "ended", "rooms": counts})


async def run(options: argparse.Namespace) -> None:
    """Read the tokens and share until the time is over, a signal arrives or stdin is closed; raises RayroomError."""
    stdin = await _stdin()
    tokens = await _read_tokens(stdin, options.rooms)
    logging.getLogger("livekit").addFilter(_without(tokens.values()))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sharing = asyncio.create_task(share_screens(options.url, tokens, options.fps, options.seed))
    ends = {asyncio.create_task(stop.wait()), asyncio.create_task(_closed(stdin))}
    await asyncio.wait({sharing, *ends}, timeout=options.seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in (sharing, *ends):
        task.cancel()
    await asyncio.wait({sharing, *ends}, timeout=2 * DISCONNECT_TIMEOUT_S)
    if sharing.done() and not sharing.cancelled():
        sharing.result()


async def _stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=LONGEST_LINE_BYTES)
    try:
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    except (ValueError, OSError):
        raise BadInput("stdin: must be a pipe that stays open for as long as the screens are shared.") from None
    return reader


async def _read_tokens(stdin: asyncio.StreamReader, rooms: Sequence[str]) -> dict[str, str]:
    """Return the token of each room from the first line of stdin; raises BadInput, which shows no token."""
    try:
        async with asyncio.timeout(TOKENS_TIMEOUT_S):
            tokens = json.loads(await stdin.readline())
    except (ValueError, TimeoutError):
        raise BadInput('stdin: the first line must be JSON, {"room": "token"}.') from None
    missing = [room for room in rooms if not isinstance(tokens, dict) or not isinstance(tokens.get(room), str)]
    if missing:
        raise BadInput(f"stdin: there is no token for {', '.join(missing)}.")
    return {room: tokens[room] for room in rooms}


def _without(tokens: Collection[str]) -> Callable[[logging.LogRecord], bool]:
    """Return a log filter that takes tokens out: a refused one comes back in the server's answer, which is logged."""

    def cleaned(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        for token in tokens:
            message = message.replace(token, "<token>")
        record.msg, record.args = message, ()
        return True

    return cleaned


async def _closed(stdin: asyncio.StreamReader) -> None:
    """Wait until the other end of stdin is gone, whatever still comes from there."""
    while await stdin.read(4_096):
        pass


def say(line: Mapping[str, Any]) -> None:
    """Print one JSON line to stdout, for the parent."""
    print(json.dumps(line), flush=True)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line; exits with status 2 and a message where one is wrong."""
    parser = argparse.ArgumentParser(prog="python -m cluster.demo.publisher", description=__doc__)
    parser.add_argument("--url", required=True, help="of the LiveKit server: ws://host:port")
    parser.add_argument("--rooms", required=True, type=lambda names: names.split(","), help="separated by commas")
    parser.add_argument("--tokens-stdin", required=True, action="store_true", help="tokens come as JSON on stdin, only")
    parser.add_argument("--fps", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1, help="of the first room's screen; the next room has the next")
    options = parser.parse_args(arguments)
    if not 0 < options.fps <= 60:
        parser.error(f"--fps: must be above 0 and at most 60, not {options.fps}")
    if not 0 < options.seconds < math.inf:
        parser.error(f"--seconds: must be above 0, not {options.seconds}")
    return options


def main() -> int:
    """Run the command line; returns the exit status."""
    options = parse(sys.argv[1:])
    try:
        asyncio.run(run(options))
    except RayroomError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
