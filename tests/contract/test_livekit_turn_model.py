"""LiveKit's turn detector runs in the process: without a network, a download or a key."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any, NoReturn

import pytest
from livekit import rtc

from cluster.lab.demo.speech_synth import RATE_HZ, silence, speech
from cluster.lab.emulator import Emulator
from room_agent.audio.turn_model import LiveKitTurnModel, load_turn_model
from tests.support.speech_settings import settings_for


def _refuse(*_: Any) -> NoReturn:
    raise OSError("no network in this test")


async def test_the_model_judges_a_pause_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Emulator().running() as emulator:
        settings = settings_for(emulator, end_of_turn="model")
    monkeypatch.setattr(socket.socket, "connect", _refuse)
    monkeypatch.setattr(socket, "getaddrinfo", _refuse)
    model = await load_turn_model(settings)
    assert model is not None
    try:
        # Longer than the 1.2 s that the model takes: it judges the last of it.
        pcm = speech(1_200) + silence(224)
        model.push(rtc.AudioFrame(pcm, RATE_HZ, 1, len(pcm) // 2))
        for _ in range(5):
            # The stream takes its audio in a task of its own.
            await asyncio.sleep(0)
        # Vowels without words say nothing about its judgement, which only has to be a probability.
        async with asyncio.timeout(60.0):
            # None where the model takes longer than a pause may.
            while (probability := await model.probability()) is None:
                await asyncio.sleep(0.1)
        assert 0 < probability < 1
        thresholds = [await model.threshold(language) for language in ("en-US", "de", "multi", "")]
        assert thresholds == [0.36, 0.245, 0.36, 0.36]
    finally:
        await model.aclose()


class _BrokenWeights:
    def predict(self, _: Any) -> float:
        raise RuntimeError("no memory")


class _SlowWeights:
    def __init__(self) -> None:
        self.released = threading.Event()
        self.calls = 0

    def predict(self, _: Any) -> float:
        self.calls += 1
        self.released.wait(10)
        return 0.9


async def test_a_failure_of_the_weights_is_no_judgement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livekit.agents.inference.eot.transports._EOT", _BrokenWeights)
    model = LiveKitTurnModel()
    assert await model.probability() is None
    await model.aclose()


async def test_a_late_judgement_is_none_and_no_second_thread_starts_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = _SlowWeights()
    monkeypatch.setattr("livekit.agents.inference.eot.transports._EOT", lambda: weights)
    monkeypatch.setattr("room_agent.audio.turn_model.TIMEOUT_S", 0.05)
    model = LiveKitTurnModel()
    assert await model.probability() is None
    model.reset()
    assert await model.probability() is None
    weights.released.set()
    await model.aclose()
    assert weights.calls == 1


async def test_no_model_is_loaded_by_default() -> None:
    async with Emulator().running() as emulator:
        assert await load_turn_model(settings_for(emulator)) is None
