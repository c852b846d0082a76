"""Speak questions in rooms and listen to the answers: `python -m cluster.lab.demo.speaker`. Ends with its parent.

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
from cluster.lab.stack.guest import CONNECT_TIMEOUT_S, DISCONNECT_TIMEOUT_S, VisitFailed, parser, print_json, run_visit

FRAME_MS = 20
QUEUE_MS = 100
"""The audio buffered ahead of the room."""
MIN_SPEECH_RMS = 300
QUESTION_MS = 1_500
PITCHES_HZ = (120, 165, 140, 190)
ROUND_TRIP_S = 1.0
"""The time until a published voice reaches the listener."""
QUIET_S = 1.0
"""An answer is over after this much silence."""
MAX_LISTEN_S = 6.0
"""The part of an answer that plays before the next question interrupts it."""
ANSWER_TIMEOUT_S = 10.0
"""The wait for an answer to begin before the question is repeated."""
TICK_S = 0.1


class Speaker:
    """A participant with a microphone in one room, until cancelled."""

    def __init__(self, name: str) -> None:
        self.questions_asked = self.answers_heard = self.heard_ms = 0
        self._name = name
        self._room = rtc.Room()
        self._microphone = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=QUEUE_MS)
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue(2 * QUESTION_MS // FRAME_MS)
        self._last_sound_s = 0.0
        self._agent_joined = asyncio.Event()
        self._agent: asyncio.Queue[rtc.Track] = asyncio.Queue(1)
        self._disconnected = asyncio.Event()
        self._room.on("disconnected", lambda _: self._disconnected.set())
        self._room.on("track_subscribed", lambda track, *_: self._on_track(track))

    async def run(self, url: str, token: str) -> None:
        """Connect, ask and listen, and always disconnect at the end; raises VisitFailed."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._room.connect(url, token)
                await self._publish()
            print_json({"event": "connected", "room": self._name})
            async with asyncio.TaskGroup() as group:
                for work in (self._speak(), self._listen(), self._ask_repeatedly(), self._wait_for_disconnect()):
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

    def _on_track(self, track: rtc.Track) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO and self._agent.empty():
            self._agent.put_nowait(track)

    async def _speak(self) -> None:
        """Send audio continuously, with silence between questions. The source's queue sets the pace."""
        silent_frame = silence(FRAME_MS)
        while True:
            speaking = not self._outgoing.empty()
            sound = self._outgoing.get_nowait() if speaking else silent_frame
            await self._microphone.capture_frame(rtc.AudioFrame(sound, RATE_HZ, 1, len(sound) // 2))
            if speaking:
                self._outgoing.task_done()

    async def _listen(self) -> None:
        stream = rtc.AudioStream.from_track(
            track=await self._agent.get(), sample_rate=RATE_HZ, num_channels=1, frame_size_ms=FRAME_MS, capacity=100
        )
        self._agent_joined.set()
        try:
            async for event in stream:
                if _is_loud(event.frame):
                    self.heard_ms += FRAME_MS
                    self._last_sound_s = time.monotonic()
        finally:
            await stream.aclose()

    async def _ask_repeatedly(self) -> None:
        await self._agent_joined.wait()
        await asyncio.sleep(ROUND_TRIP_S)
        while True:
            for frame in _frames(speech(QUESTION_MS, PITCHES_HZ[self.questions_asked % len(PITCHES_HZ)])):
                self._outgoing.put_nowait(frame)
            self.questions_asked += 1
            await self._outgoing.join()
            self.answers_heard += await self._wait_for_answer()

    async def _wait_for_answer(self) -> bool:
        """Wait until an answer has ended or played long enough; return whether there was one."""
        asked_at_s, heard_ms = time.monotonic(), self.heard_ms
        while (waited_s := time.monotonic() - asked_at_s) < ANSWER_TIMEOUT_S + MAX_LISTEN_S:
            heard_s = (self.heard_ms - heard_ms) / 1_000
            answer_ended = heard_s > 0 and time.monotonic() - self._last_sound_s > QUIET_S
            if answer_ended or heard_s > MAX_LISTEN_S or (not heard_s and waited_s > ANSWER_TIMEOUT_S):
                break
            await asyncio.sleep(TICK_S)
        return self.heard_ms > heard_ms

    async def _wait_for_disconnect(self) -> None:
        await self._disconnected.wait()
        raise VisitFailed(f"room {self._name}: the server ended the connection.")


async def speak_in_rooms(url: str, tokens: Mapping[str, str]) -> None:
    """Speak in every room of `tokens` until cancelled; the first failure ends all, with VisitFailed."""
    speakers = {room: Speaker(room) for room in tokens}
    try:
        async with asyncio.TaskGroup() as rooms:
            for room, speaker in speakers.items():
                rooms.create_task(speaker.run(url, tokens[room]), name=room)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        counts = {
            room: {"asked": speaker.questions_asked, "answered": speaker.answers_heard, "heard_ms": speaker.heard_ms}
            for room, speaker in speakers.items()
        }
        print_json({"event": "ended", "rooms": counts})


def _frames(pcm: bytes) -> Iterator[bytes]:
    size = 2 * RATE_HZ * FRAME_MS // 1_000
    for start in range(0, len(pcm) - size + 1, size):
        yield pcm[start : start + size]


def _is_loud(frame: rtc.AudioFrame) -> bool:
    sound = np.frombuffer(frame.data, np.int16).astype(np.float32)
    return bool(np.sqrt(np.mean(sound**2)) >= MIN_SPEECH_RMS)


def main() -> int:
    """Run the command line; return the exit status."""
    options = parser("cluster.lab.demo.speaker", __doc__).parse_args(sys.argv[1:])
    return run_visit(options, lambda tokens: speak_in_rooms(options.url, tokens))


if __name__ == "__main__":
    sys.exit(main())
