"""A turn model that answers from a script."""

from __future__ import annotations

from collections.abc import Iterable

from livekit import rtc


class ScriptedTurnModel:
    """Gives one answer a pause: a probability, None for a late one, or the error that it raises."""

    def __init__(self, answers: Iterable[float | Exception | None], threshold: float | None = 0.36) -> None:
        self._answers = iter(answers)
        self._threshold = threshold
        self.languages: list[str] = []
        self.received_s = 0.0
        self.utterances = 0
        self.closed = False

    def push(self, frame: rtc.AudioFrame) -> None:
        self.received_s += frame.duration

    def reset(self) -> None:
        self.utterances += 1

    async def probability(self) -> float | None:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def threshold(self, language: str) -> float | None:
        self.languages.append(language)
        return self._threshold

    async def aclose(self) -> None:
        self.closed = True
