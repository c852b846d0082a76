"""Speech-to-text services that fall silent in the middle of it, and those that live and hear no word."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest

from cluster.lab.demo.speech_synth import silence, speech
from cluster.lab.emulator import Emulator, Fault
from tests.integration.table import listening

WHOLE = "What is on the screen below?"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator().running() as emulator:
        emulator.script.ends = True
        yield emulator


async def test_a_stream_that_dies_after_an_utterance_does_not_swallow_the_next_one(emulator: Emulator) -> None:
    emulator.plan(Fault(stall_after_chunks=2), vendor="deepgram")
    emulator.script.add("Hi there.", "What is it now?", "What is it now?")
    async with listening(emulator, stt_models=("nova-3", "nova-2")) as ear:
        said = await ear.hear(silence(300), speech(900), silence(1_000), speech(1_200), silence(3_000))
        assert said == ["Hi there.", "What is it now?"] and ear.counters.utterances_lost == 0
        assert [seen.model for seen in emulator.journal] == ["nova-3", "nova-2"]


async def test_half_a_question_is_not_told_as_the_whole_where_another_service_hears_it(emulator: Emulator) -> None:
    emulator.plan(Fault(stall_after_chunks=1), vendor="deepgram")
    emulator.script.add(WHOLE, WHOLE)
    async with listening(emulator, stt_models=("nova-3", "nova-2")) as ear:
        assert await ear.hear(silence(300), speech(2_500), silence(3_000)) == [WHOLE]
        assert [service.model for service in ear.services.in_order()] == ["nova-2", "nova-3"]
        assert ear.usage.audio_ms == ear.charged_ms()


@pytest.mark.parametrize("then", [Fault(stall_after_chunks=1), Fault(stall_after_chunks=0), Fault(status=503)])
async def test_half_a_question_is_told_where_every_service_fails(emulator: Emulator, then: Fault) -> None:
    emulator.plan(Fault(stall_after_chunks=1), vendor="deepgram")
    emulator.plan(then, vendor="deepgram")
    emulator.script.add(WHOLE, WHOLE)
    async with listening(emulator, stt_models=("nova-3", "nova-2")) as ear:
        (said,) = await ear.hear(silence(300), speech(2_500), silence(4_500))
        # No service is called well for half of what was said.
        assert WHOLE.startswith(said) and said != WHOLE and ear.well == []


async def test_what_comes_after_an_utterance_was_told_is_not_taken_for_the_next_one(emulator: Emulator) -> None:
    emulator.plan(Fault(stall_after_chunks=1, stall_s=4.0), vendor="deepgram", times=2)
    emulator.script.add(WHOLE, WHOLE, "And now?")
    async with listening(emulator) as ear:
        said = await ear.hear(silence(300), speech(1_500), silence(5_500), speech(900), silence(1_000))
        assert WHOLE.startswith(said[0]) and said[1:] == ["And now?"]


@pytest.mark.parametrize("loudness", [0.02, 1.0])
async def test_a_voice_without_a_word_is_sent_once_and_counted_as_wordless(emulator: Emulator, loudness: float) -> None:
    hummed = (np.frombuffer(speech(1_500), "<i2") * loudness).astype("<i2").tobytes()
    async with listening(emulator, stt_models=("nova-3", "nova-2")) as ear:
        assert await ear.hear(silence(300), hummed, silence(2_500)) == []
        assert (ear.counters.utterances_wordless, ear.counters.utterances_lost) == (1, 0)
        # The service lives: nobody is told that they are not heard.
        assert ear.well == [] and [seen.model for seen in emulator.journal] == ["nova-3"]


async def test_a_cough_is_not_counted(emulator: Emulator) -> None:
    async with listening(emulator) as ear:
        assert await ear.hear(silence(300), speech(200), silence(2_500)) == []
        assert ear.counters.utterances_wordless == ear.counters.utterances == 0
