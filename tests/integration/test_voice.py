"""Microphones, voices and their bill, through livekit's plugins and the emulator on real sockets; no room."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import APIConnectOptions

from cluster.lab.demo.speech_synth import RATE_HZ, silence, speech
from cluster.lab.emulator import Emulator, Fault
from room_agent.audio.plugins import tts_plugins
from room_agent.audio.stt_stream import SttStream as Stream
from room_agent.usage.meter import SpeechMeter, metered_tts_session
from tests.integration.table import Ear, listening
from tests.support.speech_settings import settings_for


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator().running() as emulator:
        yield emulator


@pytest.fixture
async def ear(emulator: Emulator) -> AsyncIterator[Ear]:
    async with listening(emulator) as ear:
        yield ear


def noise(duration_ms: int) -> bytes:
    sound = np.random.default_rng(3).normal(0, 2_000, RATE_HZ * duration_ms // 1_000)
    return bytes(sound.astype("<i2").tobytes())


def tone(duration_ms: int) -> bytes:
    at = np.arange(RATE_HZ * duration_ms // 1_000) / RATE_HZ
    return bytes((8_000 * np.sin(2 * np.pi * 440 * at)).astype("<i2").tobytes())


async def test_what_is_said_is_told_with_its_time_and_billed_to_the_millisecond(ear: Ear) -> None:
    ear.emulator.script.add("What is on the screen?", "And below?")
    assert await ear.hear(silence(500), speech(1_200), silence(1_000), speech(900), silence(1_000)) == [
        "What is on the screen?",
        "And below?",
    ]
    (seen,) = ear.emulator.journal
    assert ear.usage.audio_ms == seen.audio_ms
    # Of 4.6 s the silence between and after is not sent.
    assert 2_100 < seen.audio_ms < 4_300 and ear.said[0].spoken_s > 1.2
    assert ear.said[0].identity == "ann" and ear.well == [True, True]


async def test_the_pause_before_a_word_is_sent_once(ear: Ear) -> None:
    ear.emulator.script.add("So", "what is it?")
    # The second word begins within what the detector keeps from before it.
    said = await ear.hear(silence(500), speech(700), silence(420), speech(700), silence(1_500))
    assert said == ["So what is it?"]
    assert ear.usage.audio_ms == ear.charged_ms() < 500 + 700 + 420 + 700 + 500


async def test_what_is_likely_whole_is_foretold_before_the_pause_is_over(ear: Ear) -> None:
    ear.emulator.script.add("What is it?", "And below?")
    await ear.hear(silence(500), speech(1_200), silence(1_000), speech(900), silence(1_000))
    assert ear.expected == [("What is it?", 0), ("And below?", 1)]


async def test_an_utterance_that_goes_on_is_foretold_as_far_as_it_is_heard(ear: Ear) -> None:
    ear.emulator.script.add("So", "what is it?")
    said = await ear.hear(silence(500), speech(700), silence(420), speech(700), silence(1_500))
    assert said == ["So what is it?"] and ear.expected == [("So", 0), ("So what is it?", 0)]


async def test_what_is_being_said_is_told_while_it_is_said(ear: Ear) -> None:
    ear.emulator.script.add("What is on the screen below the second chart?")
    (said,) = await ear.hear(silence(500), speech(2_500), silence(1_000))
    assert ear.shown and all(said.startswith(text.rstrip(".?")) for text in ear.shown) and len(set(ear.shown)) > 1


@pytest.mark.parametrize("sound", [silence(3_000), noise(3_000), tone(3_000)])
async def test_silence_noise_and_a_tone_are_neither_sent_nor_paid_for(ear: Ear, sound: bytes) -> None:
    assert await ear.hear(silence(500), sound, speed=4.0) == []
    assert list(ear.emulator.journal) == []


async def test_nobody_is_heard_where_nothing_can_be_paid(ear: Ear) -> None:
    ear.is_deaf = True
    assert await ear.hear(silence(500), speech(1_000), silence(800), speed=4.0) == []
    assert list(ear.emulator.journal) == []


async def test_forty_seconds_without_a_pause_are_one_utterance(ear: Ear) -> None:
    ear.emulator.script.add("a very long story")
    assert await ear.hear(silence(500), speech(40_000), silence(1_500), speed=10.0) == ["a very long story"]
    assert ear.said[0].spoken_s > 39 and ear.counters.sounds_cut == 0
    assert ear.usage.audio_ms == ear.charged_ms()


async def test_a_sound_that_does_not_pause_for_a_minute_is_cut_and_no_longer_paid_for(ear: Ear) -> None:
    await ear.hear(silence(500), speech(80_000), silence(1_500), speed=10.0)
    assert ear.counters.sounds_cut == 1 and ear.charged_ms() < 62_000


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503),
        Fault(status=401),
        Fault(cut_after_chunks=0, close_code=1011),
        Fault(reset_after_chunks=0),
        Fault(stall_after_chunks=0),
    ],
)
async def test_the_whole_utterance_is_said_again_to_the_next_service(fault: Fault, emulator: Emulator) -> None:
    emulator.plan(fault, vendor="deepgram")
    async with listening(emulator, stt_models=("nova-3", "nova-2")) as ear:
        await ear.hear(silence(500), speech(1_500), silence(1_500))
        assert len(ear.said) == 1 and ear.counters.utterances_lost == 0
        assert emulator.journal[-1].model == "nova-2"
        assert emulator.journal[-1].audio_ms == pytest.approx(1_500 + 500 + 320, abs=150)
        assert ear.usage.audio_ms == ear.charged_ms()
        assert [service.model for service in ear.services.in_order()] == ["nova-2", "nova-3"]


async def test_an_utterance_that_no_service_hears_is_lost_and_the_next_one_is_heard(ear: Ear) -> None:
    ear.emulator.plan(Fault(status=503), vendor="deepgram", times=2)
    ear.emulator.script.add("Now you hear me.")
    assert await ear.hear(silence(500), speech(1_000), silence(1_000)) == []
    assert ear.well == [False] and ear.counters.utterances_lost == 1
    assert await ear.hear(silence(500), speech(1_000), silence(1_000)) == ["Now you hear me."]
    assert ear.well == [False, True]


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(cut_after_chunks=0, close_code=1011)])
async def test_an_ear_takes_sound_and_flushes_at_any_moment_of_its_breaking(ear: Ear, fault: Fault) -> None:
    ear.emulator.plan(fault, vendor="deepgram")
    broken = Stream(ear.plugins[0])
    async with asyncio.timeout(60):
        # At every turn of the loop: the stream has ended before its reader is told.
        while not broken.broken:
            broken.hear(rtc.AudioFrame(silence(20), RATE_HZ, 1, RATE_HZ // 50))
            broken.flush()
            await asyncio.sleep(0)
        await broken.until_broken()
        broken.hear(rtc.AudioFrame(silence(20), RATE_HZ, 1, RATE_HZ // 50))
        await broken.aclose()


async def test_a_microphone_that_stops_in_the_middle_of_a_word_is_heard_to_there(ear: Ear) -> None:
    ear.emulator.script.add("What is")
    assert await ear.hear(silence(500), speech(800)) == ["What is"]


async def test_the_plugins_own_figure_of_heard_sound_is_not_what_is_charged(ear: Ear) -> None:
    figures_s: list[float] = []
    ear.plugins[0].on("metrics_collected", lambda metrics: figures_s.append(metrics.audio_duration))
    await ear.hear(silence(500), speech(1_000), silence(4_000))
    assert sum(figures_s) * 1_000 > ear.charged_ms() + 500
    assert ear.usage.audio_ms == ear.charged_ms()


async def test_an_interrupted_voice_is_billed_for_what_it_was_sent_though_its_plugin_says_nothing(
    emulator: Emulator,
) -> None:
    usage, figures = SpeechMeter(time.time), []
    async with metered_tts_session(usage) as http:
        (voice,) = tts_plugins(settings_for(emulator), http)
        voice.on("metrics_collected", lambda metrics: figures.append(metrics.characters_count))
        stream = voice.stream(conn_options=APIConnectOptions(max_retry=0))
        stream.push_text("This is the first sentence of it. And this is the second. ")
        async with asyncio.timeout(60):
            await anext(stream)
            await stream.aclose()
        await asyncio.sleep(0.2)
        assert figures == []
        assert usage.characters == sum(seen.characters for seen in emulator.journal) > 0
        await voice.aclose()


async def test_a_voice_that_ends_is_billed_for_each_text_without_the_space_around_it(emulator: Emulator) -> None:
    usage = SpeechMeter(time.time)
    async with metered_tts_session(usage) as http:
        (voice,) = tts_plugins(settings_for(emulator), http)
        for text in ("Hello there. How are you today? ", "Fine."):
            async with voice.stream(conn_options=APIConnectOptions(max_retry=0)) as stream, asyncio.timeout(60):
                stream.push_text(text)
                stream.end_input()
                async for _ in stream:
                    pass
        assert usage.characters == sum(seen.characters for seen in emulator.journal) == 31 + 5
        await voice.aclose()
