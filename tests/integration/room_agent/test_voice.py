"""Check microphones, TTS and their metering with LiveKit's plugins and the emulator, on real sockets."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import APIConnectOptions

from cluster.lab.demo.speech_synth import RATE_HZ, silence, speech
from cluster.lab.emulator import Emulator, Fault
from room_agent.audio.plugins import tts_plugins
from room_agent.audio.stt_stream import SttStream
from room_agent.usage.meter import SpeechMeter, metered_tts_session
from routing.prices import load_prices
from tests.integration.room_agent.transcribing_microphone import TranscribingMicrophone, transcribing_microphone
from tests.support.scripted_turn_model import ScriptedTurnModel
from tests.support.speech_settings import settings_for


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator().running() as emulator:
        yield emulator


@pytest.fixture
async def microphone(emulator: Emulator) -> AsyncIterator[TranscribingMicrophone]:
    async with transcribing_microphone(emulator) as microphone:
        yield microphone


def noise(duration_ms: int) -> bytes:
    samples = np.random.default_rng(3).normal(0, 2_000, RATE_HZ * duration_ms // 1_000)
    return bytes(samples.astype("<i2").tobytes())


def tone(duration_ms: int) -> bytes:
    times_s = np.arange(RATE_HZ * duration_ms // 1_000) / RATE_HZ
    return bytes((8_000 * np.sin(2 * np.pi * 440 * times_s)).astype("<i2").tobytes())


async def test_an_utterance_is_reported_with_its_time_and_billed_to_the_millisecond(
    microphone: TranscribingMicrophone,
) -> None:
    microphone.emulator.script.add("What is on the screen?", "And below?")
    assert await microphone.transcribe(silence(500), speech(1_200), silence(1_000), speech(900), silence(1_000)) == [
        "What is on the screen?",
        "And below?",
    ]
    (request,) = microphone.emulator.journal
    assert microphone.usage.audio_ms == request.audio_ms
    # The audio is 4.6 s long; the silence between and after the utterances is not sent.
    assert 2_100 < request.audio_ms < 4_300 and microphone.finals[0].spoken_s > 1.2
    assert microphone.finals[0].identity == "ann" and microphone.available == [True, True]
    # Each text was reported as stable before the end of its pause.
    assert microphone.stable_partials == [("What is on the screen?", 0), ("And below?", 1)]


async def test_a_short_pause_within_an_utterance_is_sent_once_and_its_parts_are_stable_partials(
    microphone: TranscribingMicrophone,
) -> None:
    microphone.emulator.script.add("So", "what is it?")
    # The second word begins within the audio that the detector keeps from before the start of speech.
    transcripts = await microphone.transcribe(silence(500), speech(700), silence(420), speech(700), silence(1_500))
    assert transcripts == ["So what is it?"] and microphone.stable_partials == [("So", 0), ("So what is it?", 0)]
    assert microphone.usage.audio_ms == microphone.charged_ms() < 500 + 700 + 420 + 700 + 500


async def test_partial_transcripts_are_reported_during_the_utterance(microphone: TranscribingMicrophone) -> None:
    microphone.emulator.script.add("What is on the screen below the second chart?")
    (transcript,) = await microphone.transcribe(silence(500), speech(2_500), silence(1_000))
    assert (
        microphone.partials
        and all(transcript.startswith(text.rstrip(".?")) for text in microphone.partials)
        and len(set(microphone.partials)) > 1
    )


@pytest.mark.parametrize("audio", [silence(3_000), noise(3_000), tone(3_000)])
async def test_silence_noise_and_a_tone_are_not_sent(microphone: TranscribingMicrophone, audio: bytes) -> None:
    assert await microphone.transcribe(silence(500), audio, speed=4.0) == []
    assert list(microphone.emulator.journal) == []


async def test_no_audio_is_sent_while_stt_is_paused(microphone: TranscribingMicrophone) -> None:
    microphone.stt_paused = True
    assert await microphone.transcribe(silence(500), speech(1_000), silence(800), speed=4.0) == []
    assert list(microphone.emulator.journal) == []


async def test_forty_seconds_without_a_pause_are_one_utterance(microphone: TranscribingMicrophone) -> None:
    microphone.emulator.script.add("a very long story")
    assert await microphone.transcribe(silence(500), speech(40_000), silence(1_500), speed=20.0) == [
        "a very long story"
    ]
    assert microphone.finals[0].spoken_s > 39 and microphone.counters.sounds_cut == 0
    assert microphone.usage.audio_ms == microphone.charged_ms()


async def test_speech_without_a_pause_is_cut_after_a_minute(
    microphone: TranscribingMicrophone,
) -> None:
    await microphone.transcribe(silence(500), speech(80_000), silence(1_500), speed=20.0)
    assert microphone.counters.sounds_cut == 1 and microphone.charged_ms() < 62_000


async def transcribe_by_the_second_service(fault: Fault) -> None:
    """Transcribe an utterance whose first service has this fault."""
    async with (
        Emulator().running() as emulator,
        transcribing_microphone(emulator, stt_models=("nova-3", "nova-2")) as microphone,
    ):
        emulator.plan(fault, vendor="deepgram")
        await microphone.transcribe(silence(500), speech(1_500), silence(1_500))
        assert len(microphone.finals) == 1 and microphone.counters.utterances_lost == 0, fault
        assert emulator.journal[-1].model == "nova-2", fault
        assert emulator.journal[-1].audio_ms == pytest.approx(1_500 + 500 + 320, abs=150), fault
        assert microphone.usage.audio_ms == microphone.charged_ms(), fault
        assert [service.model for service in microphone.services.in_order()] == ["nova-2", "nova-3"], fault


async def test_a_failed_utterance_is_sent_completely_to_the_next_service() -> None:
    faults = (
        Fault(status=503),
        Fault(status=401),
        Fault(cut_after_chunks=0, close_code=1011),
        Fault(reset_after_chunks=0),
        Fault(stall_after_chunks=0),
    )
    # At once, because each takes its real time.
    async with asyncio.TaskGroup() as group:
        for fault in faults:
            group.create_task(transcribe_by_the_second_service(fault))


@pytest.mark.parametrize(
    ("language", "keyterms", "model", "detected"),
    [("en-US", True, "nova-3-keyterm", "en-US"), ("multi", False, "nova-3-multi", "de")],
)
async def test_several_languages_and_key_terms_are_billed_by_the_rows_of_their_own_prices(
    language: str, keyterms: bool, model: str, detected: str, emulator: Emulator
) -> None:
    emulator.script.add("Was ist das?")
    async with transcribing_microphone(emulator, language=language, keyterms=keyterms) as microphone:
        await microphone.transcribe(silence(500), speech(1_500), silence(1_500))
        assert {(event.model, event.participant) for event in microphone.usage.due()} == {(model, "ann")}
        assert microphone.finals[0].language == detected
    assert [request.model for request in emulator.journal] == ["nova-3"]
    assert load_prices().of(model, dt.date.today()).audio_ms_pico


async def test_an_utterance_that_no_service_transcribes_is_lost_and_the_next_one_is_transcribed(
    microphone: TranscribingMicrophone,
) -> None:
    microphone.emulator.plan(Fault(status=503), vendor="deepgram", times=2)
    microphone.emulator.script.add("Now you hear me.")
    assert await microphone.transcribe(silence(500), speech(1_000), silence(1_000)) == []
    assert microphone.available == [False] and microphone.counters.utterances_lost == 1
    assert await microphone.transcribe(silence(500), speech(1_000), silence(1_000)) == ["Now you hear me."]
    assert microphone.available == [False, True]


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(cut_after_chunks=0, close_code=1011)])
async def test_a_stream_accepts_audio_and_flushes_at_any_moment_of_its_failure(
    microphone: TranscribingMicrophone, fault: Fault
) -> None:
    microphone.emulator.plan(fault, vendor="deepgram")
    stream = SttStream(microphone.plugins[0])
    async with asyncio.timeout(60):
        # This runs at every turn of the loop, because the stream ends some turns before its reader runs.
        while not stream.has_failed:
            stream.push(rtc.AudioFrame(silence(20), RATE_HZ, 1, RATE_HZ // 50))
            stream.flush()
            await asyncio.sleep(0)
        await stream.until_failed()
        stream.push(rtc.AudioFrame(silence(20), RATE_HZ, 1, RATE_HZ // 50))
        await stream.aclose()


async def test_a_microphone_that_stops_in_mid_word_is_transcribed_up_to_its_end(
    microphone: TranscribingMicrophone,
) -> None:
    microphone.emulator.script.add("What is")
    assert await microphone.transcribe(silence(500), speech(800)) == ["What is"]


async def test_usage_is_measured_by_sent_audio_and_not_by_the_plugins_metrics(
    microphone: TranscribingMicrophone,
) -> None:
    durations_s: list[float] = []
    microphone.plugins[0].on("metrics_collected", lambda metrics: durations_s.append(metrics.audio_duration))
    await microphone.transcribe(silence(500), speech(1_000), silence(4_000))
    assert sum(durations_s) * 1_000 > microphone.charged_ms() + 500
    assert microphone.usage.audio_ms == microphone.charged_ms()


async def test_interrupted_tts_is_billed_for_the_sent_text_without_metrics_of_the_plugin(
    emulator: Emulator,
) -> None:
    usage, metrics_events = SpeechMeter(time.time), []
    async with metered_tts_session(usage) as http:
        (tts,) = tts_plugins(settings_for(emulator), http)
        tts.on("metrics_collected", lambda metrics: metrics_events.append(metrics.characters_count))
        stream = tts.stream(conn_options=APIConnectOptions(max_retry=0))
        stream.push_text("This is the first sentence of it. And this is the second. ")
        async with asyncio.timeout(60):
            await anext(stream)
            await stream.aclose()
        await asyncio.sleep(0.2)
        assert metrics_events == []
        assert usage.characters == sum(request.characters for request in emulator.journal) > 0
        await tts.aclose()


async def test_complete_tts_is_billed_for_each_stripped_text(emulator: Emulator) -> None:
    usage = SpeechMeter(time.time)
    async with metered_tts_session(usage) as http:
        (tts,) = tts_plugins(settings_for(emulator), http)
        for text in ("Hello there. How are you today? ", "Fine."):
            async with tts.stream(conn_options=APIConnectOptions(max_retry=0)) as stream, asyncio.timeout(60):
                stream.push_text(text)
                stream.end_input()
                async for _ in stream:
                    pass
        assert usage.characters == sum(request.characters for request in emulator.journal) == 31 + 5
        await tts.aclose()


async def test_a_pause_is_longer_only_where_the_turn_model_says_that_the_speaker_goes_on(
    microphone: TranscribingMicrophone, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than the pauses by far, so that a busy machine does not decide.
    monkeypatch.setattr("room_agent.audio.end_of_turn.LONGEST_PAUSE_S", 3.0)
    microphone.turn_model = model = ScriptedTurnModel([0.9, None, RuntimeError(), 0.1, 0.9])
    microphone.emulator.script.add("It ends.", "It is late.", "It fails.", "It goes on.", "So it did.")
    spoken = [part for _ in range(5) for part in (speech(600), silence(1_000))]
    assert await microphone.transcribe(silence(500), *spoken) == [
        "It ends.",
        "It is late.",
        "It fails.",
        "It goes on. So it did.",
    ]
    counters = microphone.counters
    assert (counters.pauses_judged, counters.pauses_unjudged, counters.pauses_extended) == (5, 2, 1)
    assert model.utterances == 4 and model.languages == ["en-US"] * 5 and model.closed
