"""Decides whether a pause ends an utterance, where a model judges that the speaker is about to go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog
from livekit import rtc

from room_agent.audio.transcripts import SttCounters

JUDGED_SILENCE_S = 0.2
"""The silence after which a pause is judged; livekit-agents itself judges none earlier."""
LONGEST_PAUSE_S = 1.2
"""The silence that ends an utterance in any case: a wrong judgement then costs 0.9 s beyond the usual pause of 0.3 s.

It is chosen, not measured. The default of livekit-agents is 3 s: in a meeting the agent would seem broken.
"""

log = structlog.get_logger()


class TurnModel(Protocol):
    """A model that judges one microphone's audio."""

    def push(self, frame: rtc.AudioFrame) -> None:
        """Receive the next audio."""

    def reset(self) -> None:
        """Forget the audio so far."""

    async def probability(self) -> float | None:
        """Return the probability that the turn has ended with the audio so far, or None where the model is late."""

    async def threshold(self, language: str) -> float | None:
        """Return the probability below which a speaker of that language goes on. None: it cannot judge them."""

    async def aclose(self) -> None:
        """Free the model's stream."""


def extra_wait_s(probability: float | None, threshold: float | None, silent_s: float) -> float:
    """Return how much longer an utterance stays open after `silent_s`; 0 where it has ended, or is not judged."""
    if probability is None or threshold is None or probability >= threshold:
        return 0.0
    return max(0.0, LONGEST_PAUSE_S - silent_s)


class TurnJudge:
    """The judgements of one microphone's pauses. Each begins within the pause, so that an end is known by its end.

    Without a model, and where the model is late or fails, the pause alone ends the utterance.
    """

    def __init__(self, model: TurnModel | None, counters: SttCounters, clock: Callable[[], float]) -> None:
        self._model = model
        self._counters = counters
        self._clock = clock
        self._judging: asyncio.Task[float | None] | None = None
        self._has_failed = False

    def begin_utterance(self) -> None:
        """Forget the speech before this utterance: it would count as its beginning."""
        if self._model is not None:
            self._model.reset()

    def push(self, frame: rtc.AudioFrame, silent_s: float) -> None:
        """Receive an open utterance's next audio, after which the voice has been silent for `silent_s`."""
        if self._model is None:
            return
        self._model.push(frame)
        if silent_s < JUDGED_SILENCE_S:
            self.drop()
        else:
            self.judge()

    def judge(self) -> None:
        """Begin the judgement of the present pause, unless it has begun."""
        if self._model is not None and self._judging is None:
            self._judging = asyncio.create_task(self._probability(self._model), name="judge pause")

    def drop(self) -> None:
        """Drop the judgement of a pause that is over."""
        judging, self._judging = self._judging, None
        if judging is not None:
            judging.cancel()

    async def hold(self, speech_ended_s: float, language: str) -> None:
        """Return once the utterance has ended, at most `LONGEST_PAUSE_S` after the voice. Cancel it for a new voice."""
        judging, self._judging = self._judging, None
        if self._model is None or judging is None:
            return
        threshold = await self._model.threshold(language)
        wait_s = extra_wait_s(await judging, threshold, self._clock() - speech_ended_s)
        if wait_s > 0:
            self._counters.pauses_extended += 1
            await asyncio.sleep(wait_s)

    async def aclose(self) -> None:
        self.drop()
        if self._model is not None:
            await self._model.aclose()

    async def _probability(self, model: TurnModel) -> float | None:
        self._counters.pauses_judged += 1
        try:
            probability = await model.probability()
            error = "late" if probability is None else ""
        except Exception as failure:
            # A native model fails in ways of its own; the utterance must be reported all the same.
            probability, error = None, type(failure).__name__
        if error:
            self._counters.pauses_unjudged += 1
            if not self._has_failed:
                self._has_failed = True
                log.warning("pause not judged", error=error)
        return probability
