"""Check STT services that stall in the middle of an utterance, and live ones that return no words."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest

from cluster.lab.demo.speech_synth import silence, speech
from cluster.lab.emulator import Emulator, Fault
from tests.integration.room_agent.transcribing_microphone import listening

WHOLE = "What is on the screen below?"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator().running() as emulator:
        emulator.script.ends = True
        yield emulator


async def test_a_stream_that_dies_after_an_utterance_does_not_swallow_the_next_one(emulator: Emulator) -> None:
    emulator.plan(Fault(stall_after_chunks=2), vendor="deepgram")
    emulator.script.add("Hi there.", "What is it now?", "What is it now?")
    async with listening(emulator, stt_models=("nova-3", "nova-2")) as microphone:
        said = await microphone.transcribe(silence(300), speech(900), silence(1_000), speech(1_200), silence(3_000))
        assert said == ["Hi there.", "What is it now?"] and microphone.counters.utterances_lost == 0
        assert [seen.model for seen in emulator.journal] == ["nova-3", "nova-2"]


async def test_a_partial_transcript_is_not_reported_as_final_where_another_service_completes_it(
    emulator: Emulator,
) -> None:
    emulator.plan(Fault(stall_after_chunks=1), vendor="deepgram")
    emulator.script.add(WHOLE, WHOLE)
    async with listening(emulator, stt_models=("nova-3", "nova-2")) as microphone:
        assert await microphone.transcribe(silence(300), speech(2_500), silence(3_000)) == [WHOLE]
        assert [service.model for service in microphone.services.in_order()] == ["nova-2", "nova-3"]
        assert microphone.usage.audio_ms == microphone.charged_ms()


@pytest.mark.parametrize("then", [Fault(stall_after_chunks=1), Fault(stall_after_chunks=0), Fault(status=503)])
async def test_a_partial_transcript_is_reported_where_every_service_fails(emulator: Emulator, then: Fault) -> None:
    emulator.plan(Fault(stall_after_chunks=1), vendor="deepgram")
    emulator.plan(then, vendor="deepgram")
    emulator.script.add(WHOLE, WHOLE)
    async with listening(emulator, stt_models=("nova-3", "nova-2")) as microphone:
        (said,) = await microphone.transcribe(silence(300), speech(2_500), silence(4_500))
        # A partial transcript does not mark a service as available.
        assert WHOLE.startswith(said) and said != WHOLE and microphone.available == []


async def test_late_transcripts_of_a_reported_utterance_do_not_join_the_next_one(emulator: Emulator) -> None:
    emulator.plan(Fault(stall_after_chunks=1, stall_s=4.0), vendor="deepgram", times=2)
    emulator.script.add(WHOLE, WHOLE, "And now?")
    async with listening(emulator) as microphone:
        said = await microphone.transcribe(silence(300), speech(1_500), silence(5_500), speech(900), silence(1_000))
        assert WHOLE.startswith(said[0]) and said[1:] == ["And now?"]


@pytest.mark.parametrize("loudness", [0.02, 1.0])
async def test_a_voice_without_a_word_is_sent_once_and_counted_as_wordless(emulator: Emulator, loudness: float) -> None:
    hummed = (np.frombuffer(speech(1_500), "<i2") * loudness).astype("<i2").tobytes()
    async with listening(emulator, stt_models=("nova-3", "nova-2")) as microphone:
        assert await microphone.transcribe(silence(300), hummed, silence(2_500)) == []
        assert (microphone.counters.utterances_wordless, microphone.counters.utterances_lost) == (1, 0)
        # The service is alive: it is not reported as unavailable.
        assert microphone.available == [] and [seen.model for seen in emulator.journal] == ["nova-3"]


async def test_a_cough_is_not_counted(emulator: Emulator) -> None:
    async with listening(emulator) as microphone:
        assert await microphone.transcribe(silence(300), speech(200), silence(2_500)) == []
        assert microphone.counters.utterances_wordless == microphone.counters.utterances == 0
