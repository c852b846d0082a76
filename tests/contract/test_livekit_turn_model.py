"""LiveKit's turn detector runs in the process: without a network, a download or a key."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, NoReturn

import pytest
from livekit import rtc

from cluster.lab.demo.speech_synth import RATE_HZ, silence, speech
from cluster.lab.emulator import Emulator
from room_agent.audio.turn_model import load_turn_model
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
        for _ in range(10):
            if (probability := await model.probability()) is not None:
                break
        assert probability is not None and 0 < probability < 1
        thresholds = [await model.threshold(language) for language in ("en-US", "de", "multi", "")]
        assert thresholds == [0.36, 0.245, 0.36, 0.36]
    finally:
        await model.aclose()


async def test_no_model_is_loaded_by_default() -> None:
    async with Emulator().running() as emulator:
        assert await load_turn_model(settings_for(emulator)) is None
