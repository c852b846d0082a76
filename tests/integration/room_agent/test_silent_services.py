"""Check STT services that stall during an utterance, and working ones that return no words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from cluster.lab.demo.speech_synth import silence, speech
from cluster.lab.emulator import Emulator, Fault
from tests.integration.room_agent.transcribing_microphone import transcribing_microphone

QUESTION = "What is on the screen below?"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator().running() as emulator:
        emulator.script.ends = True
        yield emulator


async def test_a_stream_that_stalls_after_an_utterance_loses_no_later_one(emulator: Emulator) -> None:
    emulator.plan(Fault(stall_after_chunks=2), vendor="deepgram")
    emulator.script.add("Hi there.", "What is it now?", "What is it now?")
    # Short enough that the second chunk is its final transcript, also where the detector of speech lags.
    async with transcribing_microphone(emulator, stt_models=("nova-3", "nova-2")) as microphone:
        transcripts = await microphone.transcribe(
            silence(300), speech(700), silence(1_500), speech(1_200), silence(3_000)
        )
        assert transcripts == ["Hi there.", "What is it now?"] and microphone.counters.utterances_lost == 0
        assert [request.model for request in emulator.journal] == ["nova-3", "nova-2"]


async def test_a_partial_transcript_is_completed_by_another_service(
    emulator: Emulator,
) -> None:
    emulator.plan(Fault(stall_after_chunks=1), vendor="deepgram")
    emulator.script.add(QUESTION, QUESTION)
    async with transcribing_microphone(emulator, stt_models=("nova-3", "nova-2")) as microphone:
        assert await microphone.transcribe(silence(300), speech(2_500), silence(3_000)) == [QUESTION]
        assert [service.model for service in microphone.services.in_order()] == ["nova-2", "nova-3"]
        assert microphone.usage.audio_ms == microphone.charged_ms()


async def transcribe_in_vain(second_fault: Fault) -> None:
    """Transcribe a question while the first service stalls and the second one has this fault."""
    async with Emulator().running() as emulator:
        emulator.script.ends = True
        emulator.plan(Fault(stall_after_chunks=1), vendor="deepgram")
        emulator.plan(second_fault, vendor="deepgram")
        emulator.script.add(QUESTION, QUESTION)
        async with transcribing_microphone(emulator, stt_models=("nova-3", "nova-2")) as microphone:
            (transcript,) = await microphone.transcribe(silence(300), speech(2_500), silence(4_500))
            # A partial transcript does not mark a service as available.
            assert QUESTION.startswith(transcript) and transcript != QUESTION, second_fault
            assert microphone.available == [], second_fault


async def test_a_partial_transcript_is_reported_if_every_service_fails() -> None:
    # At once, because each takes its real time.
    async with asyncio.TaskGroup() as group:
        for fault in (Fault(stall_after_chunks=1), Fault(stall_after_chunks=0), Fault(status=503)):
            group.create_task(transcribe_in_vain(fault))


async def test_late_transcripts_of_a_reported_utterance_do_not_join_the_next_one(emulator: Emulator) -> None:
    emulator.plan(Fault(stall_after_chunks=1, stall_s=4.0), vendor="deepgram", times=2)
    emulator.script.add(QUESTION, QUESTION, "And now?")
    async with transcribing_microphone(emulator) as microphone:
        transcripts = await microphone.transcribe(
            silence(300), speech(1_500), silence(5_500), speech(900), silence(1_000)
        )
        assert QUESTION.startswith(transcripts[0]) and transcripts[1:] == ["And now?"]


@pytest.mark.parametrize("volume", [0.02, 1.0])
async def test_speech_without_words_is_sent_once_and_counted_as_wordless(emulator: Emulator, volume: float) -> None:
    humming = (np.frombuffer(speech(1_500), "<i2") * volume).astype("<i2").tobytes()
    async with transcribing_microphone(emulator, stt_models=("nova-3", "nova-2")) as microphone:
        assert await microphone.transcribe(silence(300), humming, silence(2_500)) == []
        assert (microphone.counters.utterances_wordless, microphone.counters.utterances_lost) == (1, 0)
        # The service works, so it is not reported as unavailable.
        assert microphone.available == [] and [request.model for request in emulator.journal] == ["nova-3"]


async def test_a_cough_is_not_counted(emulator: Emulator) -> None:
    async with transcribing_microphone(emulator) as microphone:
        assert await microphone.transcribe(silence(300), speech(200), silence(2_500)) == []
        assert microphone.counters.utterances_wordless == microphone.counters.utterances == 0
