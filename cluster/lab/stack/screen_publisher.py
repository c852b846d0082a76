"""Share a scripted screen over WebRTC: `python -m cluster.lab.stack.screen_publisher`. It ends with its parent."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import sys
import time
from collections.abc import Mapping, Sequence

from livekit import rtc
from livekit.rtc.participant import PublishTrackError

from cluster.lab.scenario.synthetic_screens import ScreenScript
from cluster.lab.stack.guest import CONNECT_TIMEOUT_S, DISCONNECT_TIMEOUT_S, VisitFailed, parser, print_json, run_visit
from room_agent.session import TOPIC

WIDTH_PX, HEIGHT_PX = 1280, 720
MAX_BITS_PER_SECOND = 2_000_000


class ScreenPublisher:
    """Shares one screen in one room until it is cancelled; counts the answers without reading them."""

    def __init__(self, room: str, seed: int, fps: float) -> None:
        self.frames = 0
        self.answers = 0
        self._name = room
        self._fps = fps
        self._script = ScreenScript(seed, WIDTH_PX, HEIGHT_PX)
        self._room = rtc.Room()
        self._disconnected = asyncio.Event()
        self._room.on("disconnected", lambda _: self._disconnected.set())
        self._room.register_text_stream_handler(TOPIC, self._count)

    async def run(self, url: str, token: str) -> None:
        """Connect and share the screen, and always disconnect at the end; raises VisitFailed."""
        source = rtc.VideoSource(WIDTH_PX, HEIGHT_PX, is_screencast=True)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._room.connect(url, token, rtc.RoomOptions(auto_subscribe=False))
                await self._publish(source)
            print_json({"event": "connected", "room": self._name})
            await self._capture(source)
        except (rtc.ConnectError, PublishTrackError, TimeoutError) as error:
            raise VisitFailed(f"room {self._name}: {type(error).__name__} at {url}") from None
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DISCONNECT_TIMEOUT_S):
                    await self._room.disconnect()
            await source.aclose()

    async def _publish(self, source: rtc.VideoSource) -> None:
        options = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_SCREENSHARE,
            video_encoding=rtc.VideoEncoding(max_bitrate=MAX_BITS_PER_SECOND, max_framerate=self._fps),
            # One layer: the first picture that arrives has the full size.
            simulcast=False,
        )
        track = rtc.LocalVideoTrack.create_video_track("screen", source)
        await self._room.local_participant.publish_track(track, options)

    async def _capture(self, source: rtc.VideoSource) -> None:
        """Capture at an even pace and skip late pictures; raises VisitFailed when the server disconnects."""
        started_s = time.monotonic()
        while not self._disconnected.is_set():
            at_s = time.monotonic() - started_s
            planes = self._script.i420(at_s)
            source.capture_frame(rtc.VideoFrame(WIDTH_PX, HEIGHT_PX, rtc.VideoBufferType.I420, planes))
            self.frames += 1
            due_s = (math.floor(at_s * self._fps) + 1) / self._fps
            await asyncio.sleep(started_s + due_s - time.monotonic())
        raise VisitFailed(f"room {self._name}: the server ended the connection.")

    def _count(self, reader: rtc.TextStreamReader, _: str) -> None:
        self.answers += 1
        reader.close()
        if self.answers == 1:
            print_json({"event": "answered", "room": self._name})


async def share_screens(url: str, tokens: Mapping[str, str], fps: float, seed: int) -> None:
    """Share a screen in every room of `tokens` until cancelled; the first failure ends all, with VisitFailed."""
    sharers = {room: ScreenPublisher(room, seed + number, fps) for number, room in enumerate(tokens)}
    try:
        async with asyncio.TaskGroup() as rooms:
            for room, sharer in sharers.items():
                rooms.create_task(sharer.run(url, tokens[room]), name=room)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        counts = {room: {"frames": sharer.frames, "answers": sharer.answers} for room, sharer in sharers.items()}
        print_json({"event": "ended", "rooms": counts})


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; exit with status 2 and a message if an option is wrong."""
    options = parser("cluster.lab.stack.screen_publisher", __doc__)
    options.add_argument("--fps", type=float, default=5.0)
    options.add_argument("--seed", type=int, default=1, help="of the first room's screen; the next room has the next")
    parsed = options.parse_args(arguments)
    if not 0 < parsed.fps <= 60:
        options.error(f"--fps: must be above 0 and at most 60, not {parsed.fps}")
    return parsed


def main() -> int:
    """Run the command line; return the exit status."""
    options = parse(sys.argv[1:])
    return run_visit(options, lambda tokens: share_screens(options.url, tokens, options.fps, options.seed))


if __name__ == "__main__":
    sys.exit(main())
