"""Hears one microphone: a local detector says when somebody speaks, and nothing but that is sent and paid for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from livekit import rtc
from livekit.agents.vad import VADEvent, VADEventType

from room_agent.audio.pcm import RATE_HZ, SILENCE, newest
from room_agent.audio.stt_stream import Service, SttServices, SttStream
from room_agent.audio.transcripts import HearingCounters, TranscriptListener, TranscriptReporter
from room_agent.audio.vad import SpeechDetector
from room_agent.core.tasks import log_task_end

MOST_BEHIND_S = 2.0
STILL_S = 0.5


class AudioBuffer:
    """From a microphone's first frame to its last."""

    def __init__(self, detector: SpeechDetector, counters: HearingCounters) -> None:
        self._detector = detector
        self._counters = counters
        self._given = 0
        self.seen = 0
        """How many samples of what it was given the detector has seen."""

    @property
    def behind_s(self) -> float:
        """How much sound the detector has not seen yet."""
        return (self._given - self.seen) / RATE_HZ

    async def run(self, frames: AsyncIterator[rtc.AudioFrame], gone: asyncio.Event, speaks: Callable[[], bool]) -> None:
        """Give what comes, and silence where nothing does while somebody speaks: a muted microphone sends no frames."""
        coming: asyncio.Future[rtc.AudioFrame] | None = None
        try:
            # A track that was taken away does not end: it goes on in silence, or nothing comes of it.
            while not gone.is_set():
                coming = coming or asyncio.ensure_future(anext(frames))
                await asyncio.wait({coming}, timeout=STILL_S)
                if not coming.done():
                    if speaks():
                        self._give(SILENCE)
                    continue
                done, coming = coming, None
                self._give(done.result())
        except StopAsyncIteration:
            pass
        finally:
            if coming is not None:
                coming.cancel()
            self._detector.end_input()

    def _give(self, frame: rtc.AudioFrame) -> None:
        if self.behind_s > MOST_BEHIND_S:
            self._counters.audio_dropped_ms += round(1_000 * frame.duration)
            return
        self._given += frame.samples_per_channel
        self._detector.push(frame)


UNFINISHED_S = 0.5
"""How much longer than a pause an utterance that does not end like a sentence is waited on."""
LIKELY_OVER_S = 0.1
"""After so much silence one may begin to look up what was said; between two words there is less."""
TOLD_TIMEOUT_S = 0.4
UNTOLD_TIMEOUT_S = 1.5
"""How long a service may take to tell the rest of an utterance; while no word of it is final, somewhat longer."""
LEAST_ANSWERED_S = 1.0
"""Of this much sound with a voice in it, and some silence, a service that is alive has something to say."""
MEND_S = 0.02
LONGEST_TELLING_S = 10.0
"""All services together have no longer than this for one utterance."""
LAST_TELLING_S = 3.0
"""What was being said when the microphone went has no longer than this to be told."""
HOLD_S = 2.0
"""How long a stream stays open in silence: a socket a sentence would cost a handshake a sentence."""
LONGEST_S = 60.0
"""A sound without a pause for longer is music or noise; it is heard again once it has paused."""


class MicrophoneStream:
    """One microphone's sound, from its first frame to its last."""

    def __init__(
        self,
        identity: str,
        track: str,
        services: SttServices,
        detector: SpeechDetector,
        listener: TranscriptListener,
        counters: HearingCounters,
        clock: Callable[[], float],
    ) -> None:
        self._track = track
        self._services = services
        self._detector = detector
        self._listener = listener
        self._counters = counters
        self._clock = clock
        self._ear: SttStream | None = None
        self._sound: list[rtc.AudioFrame] = []
        self._sound_s = 0.0
        self._attempts = 0
        self._inlet = AudioBuffer(detector, counters)
        self._sent = 0
        """Up to which of the detector's samples the ears were given them."""
        self._open = False
        self._half = ""
        self._telling = TranscriptReporter(identity, track, listener, counters, clock)
        self._voice_ended_s = 0.0
        self._ending: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, frames: AsyncIterator[rtc.AudioFrame], gone: asyncio.Event | None = None) -> None:
        """Listen until the frames end or the microphone is gone, and tell what was said by then; or until cancelled."""
        self._own(self._inlet.run(frames, gone or asyncio.Event(), lambda: self._open))
        try:
            async for event in self._detector.events():
                self._on(event)
            if self._open:
                self._over()
            if self._ending is not None:
                await asyncio.wait({self._ending}, timeout=LAST_TELLING_S)
            if self._sound and self._text():
                self._tell(self._text())
        finally:
            if self._sound:
                self._telling.lost()
            for task in self._tasks:
                task.cancel()
            self._drop_ear()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=HOLD_S)
            async with asyncio.timeout(HOLD_S):
                await self._detector.aclose()

    @property
    def behind_s(self) -> float:
        """How much sound the detector has not seen yet."""
        return self._inlet.behind_s

    def _on(self, event: VADEvent) -> None:
        self._inlet.seen = event.samples_index
        if event.type == VADEventType.START_OF_SPEECH:
            self._begin(event)
        elif event.type == VADEventType.END_OF_SPEECH and self._open:
            self._over()
        elif event.type == VADEventType.INFERENCE_DONE and self._open:
            self._go_on(event)

    def _begin(self, event: VADEvent) -> None:
        if self._listener.deaf():
            return
        if self._ending is not None:
            # It was a pause within what is being said.
            self._ending.cancel()
            self._ending = None
        elif self._ear is not None and self._ear.caught_up:
            self._ear.forget()
        else:
            # What it still has to tell of the utterance before would be taken for words of this one.
            self._drop_ear()
        self._open = True
        if self._ear is None:
            self._ear = self._listen(self._services.in_order()[0])
        self._hear(newest(event.frames[0], event.samples_index - self._sent), event.samples_index)

    def _go_on(self, event: VADEvent) -> None:
        self._hear(event.frames[0], event.samples_index)
        self._telling.voiced(event.speech_duration, self._detector.silent_s)
        if self._ear is not None:
            self._telling.show(self._ear.text)
        if self._detector.silent_s >= LIKELY_OVER_S:
            self._foretell()
        if self._sound_s > LONGEST_S:
            self._counters.sounds_cut += 1
            self._voice_ended_s = self._clock()
            self._pause()

    def _foretell(self) -> None:
        if self._ear is not None:
            self._telling.foretell(self._ear.text, self._ear.caught_up)

    def _hear(self, frame: rtc.AudioFrame, until: int) -> None:
        self._sent = until
        self._sound.append(frame)
        self._sound_s += frame.duration
        if self._ear is not None:
            self._ear.hear(frame)

    def _over(self) -> None:
        self._voice_ended_s = self._clock() - self._detector.silent_s
        self._pause()

    def _pause(self) -> None:
        self._open = False
        if self._ear is not None:
            self._ear.flush()
        self._ending = self._own(self._end())

    async def _end(self) -> None:
        """Tell the utterance once its text is whole, unless it goes on; then keep the ear for the next one, a while."""
        try:
            async with asyncio.timeout(LONGEST_TELLING_S):
                text = await self._told()
        except TimeoutError:
            text = self._ear.text if self._ear is not None else ""
        if text and not text.endswith((".", "?", "!")):
            await asyncio.sleep(UNFINISHED_S)
            text = self._text() or text
        self._ending = None
        self._tell(text)
        self._own(self._hold())

    async def _hold(self) -> None:
        await asyncio.sleep(HOLD_S)
        if not self._open and self._ending is None:
            self._drop_ear()

    async def _told(self) -> str:
        """Return the utterance's text once it is whole, or all there is of it when its time is over."""
        asked: SttStream | None = None
        end_s = 0.0
        while (ear := self._ear) is not None and not ear.caught_up:
            if ear.broken:
                await asyncio.sleep(MEND_S)
                continue
            if ear is not asked:
                asked, end_s = ear, self._clock() + _patience_s(ear)
            ear.changed.clear()
            left_s = end_s - self._clock()
            soon = bool(ear.text) and not (ear.half_heard or ear.silent or (ear.late and ear.owes))
            try:
                async with asyncio.timeout(min(left_s, TOLD_TIMEOUT_S) if soon else left_s):
                    await ear.changed.wait()
                if ear.late:
                    end_s = self._clock() + _patience_s(ear)
                self._foretell()
            except TimeoutError:
                if not self._gives_up(ear):
                    break
                ear.give_up()
        return self._text()

    def _gives_up(self, ear: SttStream) -> bool:
        """Tell whether another service is to hear it all, for this one is silent; the last one's half is kept."""
        if not ear.silent or not (ear.answers or self._sound_s >= LEAST_ANSWERED_S):
            return False
        return self._attempts + 1 < self._services.attempts or not self._text()

    def _text(self) -> str:
        """Return what is heard of the utterance, or was by a service that then fell silent."""
        return (self._ear.text if self._ear is not None else "") or self._half

    def _tell(self, text: str) -> None:
        spoken_s = self._sound_s
        self._forget()
        if not text:
            self._telling.wordless()
            return
        if self._ear is not None and not self._ear.silent:
            self._services.heard(self._ear.service)
            self._listener.hears(True)
        elif self._ear is not None:
            self._services.failed(self._ear.service)
        self._telling.told(text, spoken_s, self._voice_ended_s)

    def _lose(self) -> None:
        self._open = False
        self._forget()
        self._telling.lost()
        self._listener.hears(False)

    def _forget(self) -> None:
        """Have nothing more of the utterance to say again."""
        self._sound, self._sound_s, self._attempts, self._half = [], 0.0, 0, ""

    def _listen(self, service: Service, late: bool = False) -> SttStream:
        ear = SttStream(service, late)
        self._own(self._mend(ear))
        return ear

    async def _mend(self, ear: SttStream) -> None:
        """Wait until an ear breaks, and say what it was told to the next one."""
        await ear.until_broken()
        if ear is not self._ear:
            return
        self._services.failed(ear.service)
        self._half = ear.text or self._half
        self._drop_ear()
        self._attempts += 1
        if not self._sound:
            return
        if self._attempts >= self._services.attempts:
            # What the silent ones half heard is told all the same, where somebody waits to tell it.
            if self._open or not self._half:
                self._lose()
            return
        self._ear = self._listen(self._services.in_order()[0], late=True)
        for frame in self._sound:
            self._ear.hear(frame)
        if not self._open:
            self._ear.flush()

    def _drop_ear(self) -> None:
        ear, self._ear = self._ear, None
        if ear is not None:
            self._own(ear.aclose())

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"microphone {self._track}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(log_task_end)
        return task


def _patience_s(ear: SttStream) -> float:
    """Return how long a service may say nothing; who is told all at once has more to tell of."""
    return 2 * UNTOLD_TIMEOUT_S if ear.late else UNTOLD_TIMEOUT_S
