"""Optional OCR, ASR and TTS engines. Without one the emulator generates simulated results."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from cluster.lab.emulator.core.content import RequestMessage
from cluster.lab.emulator.core.tone import SpeechSource, ToneSpeech, ToneVoice

Answerer = Callable[[Sequence[RequestMessage]], str]
"""Returns the answer to the messages of a request; their pictures are in them."""
Transcriber = Callable[[bytes, int], str]
"""Transcribes mono 16-bit PCM of the given sample rate; returns an empty string for silence."""
Speaker = Callable[[str, int], bytes]
"""Returns the sound of a text as 16-bit PCM of so many samples a second."""

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """The installed engines. They run in threads because they need CPU time, so each must be thread-safe."""

    answerer: Answerer | None = None
    transcriber: Transcriber | None = None
    speaker: Speaker | None = None

    async def answer(self, turns: Sequence[RequestMessage]) -> tuple[str, ...] | None:
        """Return an answer's words, or None where they are to be made up."""
        if self.answerer is None or not turns:
            return None
        return tuple((await asyncio.to_thread(self.answerer, turns)).split())

    async def run_transcriber(self, recognize: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `recognize`, in a thread if there is a transcriber."""
        if self.transcriber is None:
            return recognize(*args, **kwargs)
        return await asyncio.to_thread(recognize, *args, **kwargs)

    def voice(self, voice_id: str, sample_rate_hz: int) -> SpeechSource:
        """Return the speech source of one text: the TTS engine, or a tone."""
        if self.speaker is None:
            return ToneVoice(voice_id, sample_rate_hz)
        return SpokenVoice(self.speaker, sample_rate_hz)


class SpokenVoice:
    """Synthesizes one text with a TTS engine: each text whole, then cut, since half a word cannot be synthesized."""

    def __init__(self, speaker: Speaker, sample_rate_hz: int) -> None:
        self._speaker = speaker
        self._rate_hz = sample_rate_hz
        self._samples = 0

    def pieces(self, text: str, characters: int) -> Iterator[ToneSpeech]:
        """Yield a text's sound, so many characters of it at a time."""
        pcm = self._speaker(text, self._rate_hz)
        samples = len(pcm) // 2
        for start in range(0, len(text), characters):
            piece = text[start : start + characters]
            first, last = (samples * at // len(text) for at in (start, start + len(piece)))
            yield ToneSpeech(
                text=piece,
                pcm=pcm[2 * first : 2 * last],
                start_ms=round((self._samples + first) * 1_000 / self._rate_hz),
                ms_per_character=(last - first) * 1_000 / self._rate_hz / len(piece),
            )
        self._samples += samples
