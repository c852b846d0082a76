"""Sends one utterance at a time to an STT service, and sends the whole of it to the next service when one fails."""

from __future__ import annotations

from collections.abc import Callable

from livekit import rtc

from room_agent.audio.stt_stream import Service, SttServices, SttStream
from room_agent.core.tasks import OwnedTasks

MIN_ANSWERED_S = 1.0
"""A live service sends some message for audio of this length that contains a voice and some silence."""


class UtteranceStream:
    """The current utterance of one microphone: its audio so far, and the STT stream that transcribes it."""

    def __init__(self, track: str, services: SttServices, tasks: OwnedTasks, on_lost: Callable[[], None]) -> None:
        self._task_name = f"microphone {track}"
        self._services = services
        self._tasks = tasks
        self._on_lost = on_lost
        self._frames: list[rtc.AudioFrame] = []
        self._attempts = 0
        self._fallback_text = ""
        """The text of a service that failed before it had transcribed all."""
        self.audio_s = 0.0
        self.is_open = False
        """Whether somebody is speaking: audio is still pushed."""
        self.stream: SttStream | None = None

    @property
    def is_empty(self) -> bool:
        return not self._frames

    @property
    def text(self) -> str:
        """Return the transcript so far, or that of a service that then failed."""
        return (self.stream.text if self.stream is not None else "") or self._fallback_text

    def begin(self, resumes: bool) -> None:
        """Open the utterance. It `resumes` where the silence before was only a pause within it."""
        if not resumes:
            if self.stream is not None and self.stream.is_complete:
                self.stream.reset()
            else:
                # Transcripts of the previous utterance that still arrive would count as words of this one.
                self.drop_stream()
        self.is_open = True
        if self.stream is None:
            self.stream = self._connect(self._services.in_order()[0])

    def push(self, frame: rtc.AudioFrame) -> None:
        self._frames.append(frame)
        self.audio_s += frame.duration
        if self.stream is not None:
            self.stream.push(frame)

    def close(self) -> None:
        """End the audio: the service is to send the final transcript of all it received."""
        self.is_open = False
        if self.stream is not None:
            self.stream.flush()

    def finish(self, has_text: bool) -> float:
        """Clear the utterance and return the length of its audio. Text decides about the service's health."""
        if has_text and self.stream is not None:
            if self.stream.is_stalled:
                self._services.failed(self.stream.service)
            else:
                self._services.succeeded(self.stream.service)
        audio_s = self.audio_s
        self._clear()
        return audio_s

    def should_abandon(self, stream: SttStream) -> bool:
        """Return whether a stalled stream gives way to the next service. The last one's partial text is kept."""
        if not stream.is_stalled or not (stream.has_responded or self.audio_s >= MIN_ANSWERED_S):
            return False
        return self._attempts + 1 < self._services.attempts or not self.text

    def drop_stream(self) -> None:
        stream, self.stream = self.stream, None
        if stream is not None:
            self._tasks.start(stream.aclose(), self._task_name)

    async def aclose(self) -> None:
        stream, self.stream = self.stream, None
        if stream is not None:
            await stream.aclose()

    def _connect(self, service: Service, replays: bool = False) -> SttStream:
        stream = SttStream(service, replays)
        self._tasks.start(self._fail_over(stream), self._task_name)
        return stream

    async def _fail_over(self, stream: SttStream) -> None:
        """Wait until a stream fails, then send the utterance so far to the next service."""
        await stream.until_failed()
        if stream is not self.stream:
            return
        self._services.failed(stream.service)
        self._fallback_text = stream.text or self._fallback_text
        self.drop_stream()
        self._attempts += 1
        if self.is_empty:
            return
        if self._attempts >= self._services.attempts:
            # With a partial text and the speech over, endpointing is waiting and reports that text.
            if self.is_open or not self._fallback_text:
                self.is_open = False
                self._clear()
                self._on_lost()
            return
        self.stream = self._connect(self._services.in_order()[0], replays=True)
        for frame in self._frames:
            self.stream.push(frame)
        if not self.is_open:
            self.stream.flush()

    def _clear(self) -> None:
        self._frames, self.audio_s, self._attempts, self._fallback_text = [], 0.0, 0, ""
