"""Transcribes one microphone. A local detector finds speech, and only speech is sent to the paid STT service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from livekit import rtc
from livekit.agents.vad import VADEvent, VADEventType

from room_agent.audio.buffer import AudioBuffer
from room_agent.audio.end_of_turn import TurnJudge, TurnModel
from room_agent.audio.endpointing import final_text
from room_agent.audio.pcm import newest
from room_agent.audio.stt_stream import SttServices, speech_of
from room_agent.audio.transcripts import SttCounters, TranscriptListener, TranscriptReporter
from room_agent.audio.utterance import UtteranceStream
from room_agent.audio.vad import SpeechDetector
from room_agent.core.tasks import OwnedTasks

LIKELY_END_S = 0.1
"""After this much silence a lookup may begin for the text so far; the silence between two words is shorter."""
LAST_UTTERANCE_S = 3.0
"""The time for the transcript of an utterance that the end of the track cut off."""
KEEP_STREAM_S = 2.0
"""How long a stream stays open in silence: a new socket for each sentence would cost a handshake each."""
MAX_UTTERANCE_S = 60.0
"""A sound without a pause for this long is music or noise. The stream ends; the next starts after a pause."""


class MicrophoneStream:
    """One microphone track, from its first frame to its last."""

    def __init__(
        self,
        identity: str,
        track: str,
        services: SttServices,
        detector: SpeechDetector,
        listener: TranscriptListener,
        counters: SttCounters,
        clock: Callable[[], float],
        turn_model: TurnModel | None = None,
    ) -> None:
        self._task_name = f"microphone {track}"
        self._identity = identity
        self._detector = detector
        self._listener = listener
        self._counters = counters
        self._clock = clock
        self._buffer = AudioBuffer(detector, counters)
        self._tasks = OwnedTasks()
        self._utterance = UtteranceStream(track, services, self._tasks, self._on_lost)
        self._reporter = TranscriptReporter(identity, track, listener, counters, clock)
        self._turns = TurnJudge(turn_model, counters, clock)
        self._sent_until = 0
        """The index of the detector's last sample that was sent."""
        self._speech_ended_s = 0.0
        self._ending: asyncio.Task[None] | None = None

    async def run(self, frames: AsyncIterator[rtc.AudioFrame], ended: asyncio.Event | None = None) -> None:
        """Transcribe until the frames end, `ended` is set, or the task is cancelled. Reports the last utterance."""
        with speech_of(self._identity):
            await self._transcribe(frames, ended)

    async def _transcribe(self, frames: AsyncIterator[rtc.AudioFrame], ended: asyncio.Event | None) -> None:
        feeding = self._buffer.run(frames, ended or asyncio.Event(), lambda: self._utterance.is_open)
        self._tasks.start(feeding, self._task_name)
        try:
            async for event in self._detector.events():
                self._on_event(event)
            if self._utterance.is_open:
                self._on_end_of_speech()
            # Nobody goes on after the end of the track: its last pause needs no judgement.
            self._turns.drop()
            if self._ending is not None:
                await asyncio.wait({self._ending}, timeout=LAST_UTTERANCE_S)
            if not self._utterance.is_empty and self._utterance.text:
                self._report(self._utterance.text)
        finally:
            if not self._utterance.is_empty:
                self._reporter.lost()
            await self._tasks.aclose(KEEP_STREAM_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(KEEP_STREAM_S):
                    await self._utterance.aclose()
            async with asyncio.timeout(KEEP_STREAM_S):
                await self._detector.aclose()
                await self._turns.aclose()

    @property
    def lag_s(self) -> float:
        """Return the length of the audio that the detector has not processed yet."""
        return self._buffer.lag_s

    def _on_event(self, event: VADEvent) -> None:
        self._buffer.processed = event.samples_index
        if event.type == VADEventType.START_OF_SPEECH:
            self._on_start_of_speech(event)
        elif event.type == VADEventType.END_OF_SPEECH and self._utterance.is_open:
            self._on_end_of_speech()
        elif event.type == VADEventType.INFERENCE_DONE and self._utterance.is_open:
            self._on_window(event)

    def _on_start_of_speech(self, event: VADEvent) -> None:
        if self._listener.is_stt_paused():
            return
        resumes = self._ending is not None
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        self._utterance.begin(resumes)
        if not resumes:
            self._turns.begin_utterance()
        # The event holds the audio before the detection too. The part sent before a short pause is not sent again.
        self._push(newest(event.frames[0], event.samples_index - self._sent_until), event.samples_index)

    def _on_window(self, event: VADEvent) -> None:
        self._push(event.frames[0], event.samples_index)
        self._reporter.speech(event.speech_duration, self._detector.silent_s)
        if self._utterance.stream is not None:
            self._reporter.partial(self._utterance.stream.text)
        if self._detector.silent_s >= LIKELY_END_S:
            self._report_stable_partial()
        if self._utterance.audio_s > MAX_UTTERANCE_S:
            self._counters.sounds_cut += 1
            self._end_utterance(self._clock())

    def _report_stable_partial(self) -> None:
        stream = self._utterance.stream
        if stream is not None:
            self._reporter.stable_partial(stream.text, stream.is_complete)

    def _push(self, frame: rtc.AudioFrame, until: int) -> None:
        self._sent_until = until
        self._utterance.push(frame)
        self._turns.push(frame, self._detector.silent_s)

    def _on_end_of_speech(self) -> None:
        self._turns.judge()
        self._end_utterance(self._clock() - self._detector.silent_s)

    def _end_utterance(self, speech_ended_s: float) -> None:
        self._speech_ended_s = speech_ended_s
        self._utterance.close()
        self._ending = self._tasks.start(self._report_when_complete(), self._task_name)

    async def _report_when_complete(self) -> None:
        """Report the utterance unless it resumes, then keep its stream a while for the next one."""
        text = await final_text(self._utterance, self._report_stable_partial, self._clock)
        if text:
            stream = self._utterance.stream
            await self._turns.hold(self._speech_ended_s, stream.language if stream is not None else "")
            text = self._utterance.text or text
        self._ending = None
        self._report(text)
        self._tasks.start(self._drop_idle_stream(), self._task_name)

    async def _drop_idle_stream(self) -> None:
        await asyncio.sleep(KEEP_STREAM_S)
        if not self._utterance.is_open and self._ending is None:
            self._utterance.drop_stream()

    def _report(self, text: str) -> None:
        stream = self._utterance.stream
        audio_s = self._utterance.finish(bool(text))
        if not text:
            self._reporter.wordless()
            return
        if stream is not None and not stream.is_stalled:
            self._listener.on_stt_available(True)
        self._reporter.final(text, audio_s, self._speech_ended_s, stream.language if stream is not None else "")

    def _on_lost(self) -> None:
        self._reporter.lost()
        self._listener.on_stt_available(False)
