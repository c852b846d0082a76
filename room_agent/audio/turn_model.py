"""Judges pauses with the turn detector of livekit-agents that runs in the process: no cloud, and no download.

Its licence (MODEL_LICENSE of livekit-local-inference) allows any use, but only together with livekit-agents, so it is
called through that. It takes the sound of the last 1.2 s and no text.
"""

from __future__ import annotations

import asyncio

import structlog
from livekit import rtc
from livekit.agents import inference
from livekit.agents.language import LanguageCode
from livekit.agents.voice.turn import TurnDetectionEvent
from livekit.local_inference import EOT_MAX_SAMPLES, init_eot

from room_agent.audio.pcm import newest
from room_agent.core.settings import SpeechSettings

TIMEOUT_S = 0.3
"""The time for one judgement: it takes 70 ms of a free core, and 214 ms were seen on a busy host.

It begins after 0.2 s of silence, so that one at the limit ends 0.2 s after the usual pause.
"""
LOAD_TIMEOUT_S = 1.5
"""The time to load the weights where the worker has not: 0.35 s. A microphone's audio is kept for 2 s meanwhile."""

log = structlog.get_logger()


class LiveKitTurnModel:
    """The model's stream of one microphone. Only within a running loop, after the weights are loaded."""

    def __init__(self) -> None:
        self._detector = inference.TurnDetector(version="v1-mini")
        self._stream = self._detector.stream()
        self._pending: asyncio.Future[TurnDetectionEvent] | None = None

    def push(self, frame: rtc.AudioFrame) -> None:
        # A longer frame would end the stream, and with it every later judgement.
        self._stream.push_audio(newest(frame, EOT_MAX_SAMPLES))

    def reset(self) -> None:
        if not self._is_judging:
            self._stream.flush()

    async def probability(self) -> float | None:
        """Return the model's probability within `TIMEOUT_S`, or None; also where its last thread still runs."""
        if self._is_judging:
            return None
        self._pending = self._stream.predict()
        await asyncio.wait({self._pending}, timeout=TIMEOUT_S)
        if not self._pending.done():
            return None
        # The stream logs a failure and returns 0, which the model itself never does.
        return self._pending.result().end_of_turn_probability or None

    @property
    def _is_judging(self) -> bool:
        """Return whether a thread of this microphone still runs: a second one beside it would only be later."""
        return self._pending is not None and not self._pending.done()

    async def threshold(self, language: str) -> float | None:
        """Return livekit's threshold of the language; that of English for one of which the model has none."""
        return await self._detector.unlikely_threshold(LanguageCode(language) if language else None)

    async def aclose(self) -> None:
        await self._stream.aclose()


async def load_turn_model(settings: SpeechSettings) -> LiveKitTurnModel | None:
    """Return a microphone's model, or None where the settings want none or it cannot be loaded."""
    if settings.end_of_turn != "model":
        return None
    try:
        async with asyncio.timeout(LOAD_TIMEOUT_S):
            await asyncio.to_thread(init_eot)
        return LiveKitTurnModel()
    except Exception as error:
        # A native library fails in ways of its own; the room must transcribe all the same.
        log.warning("turn model not loaded", error=type(error).__name__)
        return None
