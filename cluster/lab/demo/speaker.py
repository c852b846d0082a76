"""Ask aloud in rooms and listen to the answers: `python -m cluster.lab.demo.speaker`. It ends with its parent.

A question has no words, only the sound of a voice: the agent's detector finds speech, and the emulator is
configured with the transcript. The next question starts after enough of the answer, so a long answer is
interrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterator, Mapping

import numpy as np
from livekit import rtc
from livekit.rtc.participant import PublishTrackError

from cluster.lab.demo.speech_synth import RATE_HZ, silence, speech
from cluster.lab.stack.guest import CONNECT_TIMEOUT_S, DISCONNECT_TIMEOUT_S, VisitFailed, parser, run_visit, say

FRAME_MS = 20
QUEUE_MS = 100
"""The lead of the microphone over the room."""
LOUD_RMS = 300
QUESTION_MS = 1_500
PITCHES_HZ = (120, 165, 140, 190)
SETTLE_S = 1.0
"""The way from the published voice to the listener."""
QUIET_S = 1.0
"""An answer is over after this much silence."""
LISTENED_S = 6.0
"""The part of an answer that plays before the next question interrupts it."""
PATIENCE_S = 10.0
"""The wait for an answer to begin before the question is repeated."""
TICK_S = 0.1


class Speaker:
    """A participant with a microphone in one room, until cancelled."""

    def __init__(self, name: str) -> None:
        self.asked = self.answered = self.heard_ms = 0
        self._name = name
        self._room = rtc.Room()
        self._microphone = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=QUEUE_MS)
        self._saying: asyncio.Queue[bytes] = asyncio.Queue(2 * QUESTION_MS // FRAME_MS)
        self._loud_at_s = 0.0
        self._met = asyncio.Event()
        self._agent: asyncio.Queue[rtc.Track] = asyncio.Queue(1)
        self._gone = asyncio.Event()
        self._room.on("disconnected", lambda _: self._gone.set())
        self._room.on("track_subscribed", lambda track, *_: self._meet(track))

    async def run(self, url: str, token: str) -> None:
        """Connect, ask and listen, and always leave the room at the end; raises VisitFailed."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._room.connect(url, token)
                await self._publish()
            say({"event": "connected", "room": self._name})
            async with asyncio.TaskGroup() as group:
                for work in (self._speak(), self._listen(), self._ask_on(), self._leave_with_the_server()):
                    group.create_task(work)
        except (rtc.ConnectError, PublishTrackError, TimeoutError) as error:
            raise VisitFailed(f"room {self._name}: {type(error).__name__} at {url}") from None
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DISCONNECT_TIMEOUT_S):
                    await self._room.disconnect()
            await self._microphone.aclose()

    async def _publish(self) -> None:
        track = rtc.LocalAudioTrack.create_audio_track("microphone", self._microphone)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self._room.local_participant.publish_track(track, options)

    def _meet(self, track: rtc.Track) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO and self._agent.empty():
            self._agent.put_nowait(track)

    async def _speak(self) -> None:
        """Keep the microphone on, with silence between questions. The source's queue sets the pace."""
        still = silence(FRAME_MS)
        while True:
            said = not self._saying.empty()
            sound = self._saying.get_nowait() if said else still
            await self._microphone.capture_frame(rtc.AudioFrame(sound, RATE_HZ, 1, len(sound) // 2))
            if said:
                self._saying.task_done()

    async def _listen(self) -> None:
        stream = rtc.AudioStream.from_track(
            track=await self._agent.get(), sample_rate=RATE_HZ, num_channels=1, frame_size_ms=FRAME_MS, capacity=100
        )
        self._met.set()
        try:
            async for event in stream:
                if _loud(event.frame):
                    self.heard_ms += FRAME_MS
                    self._loud_at_s = time.monotonic()
        finally:
            await stream.aclose()

    async def _ask_on(self) -> None:
        await self._met.wait()
        await asyncio.sleep(SETTLE_S)
        while True:
            for frame in _frames(speech(QUESTION_MS, PITCHES_HZ[self.asked % len(PITCHES_HZ)])):
                self._saying.put_nowait(frame)
            self.asked += 1
            await self._saying.join()
            self.answered += await self._hear_out()

    async def _hear_out(self) -> bool:
        """Wait until an answer is over, or has played for long enough; return whether there was one."""
        asked_at_s, heard_ms = time.monotonic(), self.heard_ms
        while (waited_s := time.monotonic() - asked_at_s) < PATIENCE_S + LISTENED_S:
            heard_s = (self.heard_ms - heard_ms) / 1_000
            over = heard_s > 0 and time.monotonic() - self._loud_at_s > QUIET_S
            if over or heard_s > LISTENED_S or (not heard_s and waited_s > PATIENCE_S):
                break
            await asyncio.sleep(TICK_S)
        return self.heard_ms > heard_ms

    async def _leave_with_the_server(self) -> None:
        await self._gone.wait()
        raise VisitFailed(f"room {self._name}: the server ended the connection.")


async def talk(url: str, tokens: Mapping[str, str]) -> None:
    """Speak in every room of `tokens` until cancelled; the first failure ends all, with VisitFailed."""
    talkers = {room: Speaker(room) for room in tokens}
    try:
        async with asyncio.TaskGroup() as rooms:
            for room, talker in talkers.items():
                rooms.create_task(talker.run(url, tokens[room]), name=room)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        said = {room: {"asked": t.asked, "answered": t.answered, "heard_ms": t.heard_ms} for room, t in talkers.items()}
        say({"event": "ended", "rooms": said})


def _frames(pcm: bytes) -> Iterator[bytes]:
    size = 2 * RATE_HZ * FRAME_MS // 1_000
    for start in range(0, len(pcm) - size + 1, size):
        yield pcm[start : start + size]


def _loud(frame: rtc.AudioFrame) -> bool:
    sound = np.frombuffer(frame.data, np.int16).astype(np.float32)
    return bool(np.sqrt(np.mean(sound**2)) >= LOUD_RMS)


def main() -> int:
    """Run the command line; return the exit status."""
    options = parser("cluster.lab.demo.speaker", __doc__).parse_args(sys.argv[1:])
    return run_visit(options, lambda tokens: talk(options.url, tokens))


if __name__ == "__main__":
    sys.exit(main())
