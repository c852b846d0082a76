"""The emulator's engines: drawn text is read, questions and synthesised speech are recognised."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from cluster.lab.emulator.core.content import RequestMessage
from cluster.lab.emulator.core.engines import SpokenVoice
from cluster.lab.emulator.engines import Engines
from cluster.lab.emulator.engines.asr import DigitRecognizer, PhraseRecognizer
from cluster.lab.emulator.engines.library import library
from cluster.lab.emulator.engines.ocr import NOTHING
from cluster.lab.emulator.engines.pcm import pcm_of, samples_of
from cluster.lab.emulator.engines.tts import SpeechEngine
from cluster.lab.emulator.speech.recognizer import (
    Event,
    PhraseScript,
    RecognitionOptions,
    RecognizedSpeech,
    StreamRecognizer,
)
from room_agent.frames.encoder import encode
from room_agent.frames.i420 import Planes
from routing.errors import ConfigurationError
from tests.contract.engine_inputs import GERMAN_QUESTION, QUESTIONS, RATE_HZ, number, ocr, slide

SPEAKERS = ("en-us", "en-us+f2", "en-us+m3", "en-us+m5", "en-gb-x-rp")


@cache
def phrase_recognizer() -> PhraseRecognizer:
    return PhraseRecognizer(QUESTIONS)


def noisy(pcm: bytes, rms: float) -> bytes:
    samples = samples_of(pcm, RATE_HZ, RATE_HZ)
    return pcm_of((samples + np.random.default_rng(7).normal(0, rms, samples.size)).astype(np.float32))


@pytest.mark.parametrize("long_side_px", [1_024, 640])
def test_a_number_on_a_slide_is_read_whole_and_before_smaller_text(long_side_px: int) -> None:
    drawn = number()
    first, *others = ocr().read(slide(drawn, long_side_px))
    assert first.text == drawn and [line.text.replace(" ", "") for line in others] == ["Quarterlyreview"]
    assert ocr().describe(slide(drawn, long_side_px)).startswith(f"The screen shows {drawn}, ")


def test_a_blank_or_broken_picture_is_described_as_having_no_text() -> None:
    blank = encode(Planes.from_i420(bytes([235]) * 320 * 180 + bytes([128]) * (160 * 90 * 2), 320, 180)).jpeg
    assert [ocr().describe(jpeg) for jpeg in (blank, b"no picture", b"", b"\xff\xd8cut off")] == [NOTHING] * 4


@pytest.mark.parametrize("rms", [0, 100, 300])
@pytest.mark.parametrize("speaker", SPEAKERS)
def test_each_question_is_recognized_for_every_speaker_and_in_noise(speaker: str, rms: int) -> None:
    voice = SpeechEngine(speaker)
    transcripts = [
        phrase_recognizer().recognize(noisy(voice.speak(question, RATE_HZ), rms), RATE_HZ) for question in QUESTIONS
    ]
    assert transcripts == list(QUESTIONS)


@pytest.mark.parametrize("rate_hz", [8_000, 24_000, 48_000])
def test_a_question_is_recognized_at_any_sample_rate_and_each_time(rate_hz: int) -> None:
    pcm = SpeechEngine("en-us").speak(QUESTIONS[0], rate_hz)
    assert [phrase_recognizer().recognize(pcm, rate_hz) for _ in range(3)] == [QUESTIONS[0]] * 3


def test_silence_noise_a_hum_and_other_speech_match_no_question() -> None:
    rng = np.random.default_rng(7)
    hum = 8_000 * np.sin(np.arange(3 * RATE_HZ) * 0.08)
    noise = rng.normal(0, 1_500, 3 * RATE_HZ)
    sounds = [pcm_of(sound.astype(np.float32)) for sound in (np.zeros(RATE_HZ), noise, hum, np.zeros(0))]
    talk = SpeechEngine("en-us").speak("The weather in Paris is nice today.", RATE_HZ)
    assert [phrase_recognizer().recognize(sound, RATE_HZ) for sound in (*sounds, talk)] == [""] * 5


def test_the_phrase_recognizer_needs_phrases_and_the_pronunciation_of_each_word() -> None:
    with pytest.raises(ConfigurationError) as failed:
        PhraseRecognizer(["Ask zyxwvut."])
    assert "zyxwvut" in failed.value.message
    assert PhraseRecognizer(["Ask zyxwvut."], {"zyxwvut": "Z IH K"}).recognize(b"", RATE_HZ) == ""
    with pytest.raises(ConfigurationError):
        PhraseRecognizer([])


def test_spoken_digits_are_recognized() -> None:
    voice, listener = SpeechEngine(), DigitRecognizer()
    said = [number() for _ in range(20)]
    sounds = [noisy(voice.speak(f"The number on the slide is {one}.", RATE_HZ), 30) for one in said]
    transcripts = [listener.recognize(sound, RATE_HZ) for sound in sounds]
    # Each number is random, and no recognizer is perfect: of 1,500 digits one was misheard, quiet and in noise.
    assert sum(one in other for one, other in zip(said, transcripts, strict=True)) >= 19
    assert listener.recognize(bytes(2 * RATE_HZ), RATE_HZ) == ""


def test_german_is_spoken_with_german_sounds_and_digits_and_recognized() -> None:
    voice, listener = SpeechEngine(), DigitRecognizer("de")
    assert listener.recognize(voice.speak("Die Zahl auf der Folie ist 43891.", RATE_HZ), RATE_HZ).endswith("43891")
    assert (
        PhraseRecognizer([*QUESTIONS, GERMAN_QUESTION]).recognize(voice.speak(GERMAN_QUESTION, RATE_HZ), RATE_HZ)
        == GERMAN_QUESTION
    )


def test_an_unknown_voice_is_a_configuration_error_that_names_the_parameter() -> None:
    with pytest.raises(ConfigurationError) as failed:
        SpeechEngine("nobody")
    assert failed.value.param == "voice"


def test_a_text_is_spoken_whole_and_aligned_with_its_characters() -> None:
    texts: list[str] = []

    def speaker(text: str, rate_hz: int) -> bytes:
        texts.append(text)
        return bytes(range(250)) * 8 * (rate_hz // 1_000)

    spoken = SpokenVoice(speaker, 24_000)
    first = list(spoken.pieces("The number on the slide is 12345.", 20))
    assert b"".join(piece.pcm for piece in first) == speaker("", 24_000)
    assert "".join(piece.text for piece in first) == texts[0] == "The number on the slide is 12345."
    (second,) = spoken.pieces("Thank you.", 20)
    assert second.start_ms == 1_000 and sum(second.alignment()["charDurationsMs"]) == 1_000
    assert list(spoken.pieces("", 20)) == []


def events_of(recognizer: StreamRecognizer, pcm: bytes, chunk_bytes: int = 1_600) -> list[Event]:
    chunks = [pcm[start : start + chunk_bytes] for start in range(0, len(pcm), chunk_bytes)]
    return [event for chunk in chunks for event in recognizer.feed(chunk)] + recognizer.flush()


def finals(events: list[Event]) -> list[str]:
    transcripts = [event for event in events if isinstance(event, RecognizedSpeech) and event.final]
    return [" ".join(word.text for word in event.words) for event in transcripts if event.words]


def test_a_recognizer_with_a_transcriber_returns_each_phrase_and_takes_none_of_the_script() -> None:
    voice, script = SpeechEngine("en-us"), PhraseScript(["never taken"])
    pause = bytes(RATE_HZ * 2)
    sound = b"".join(pause + voice.speak(question, RATE_HZ) + pause for question in QUESTIONS[:3])
    recognizer = StreamRecognizer(
        RATE_HZ,
        RecognitionOptions(endpointing_ms=25, interim=True, starts=True),
        script.next,
        1,
        phrase_recognizer().recognize,
    )
    assert finals(events_of(recognizer, sound)) == list(QUESTIONS[:3])
    assert len(script) == 1


def test_a_flush_transcribes_the_rest_and_two_channels_are_mixed_to_one() -> None:
    mono = np.frombuffer(SpeechEngine("en-us").speak(QUESTIONS[2], RATE_HZ), "<i2")
    recognizer = StreamRecognizer(
        RATE_HZ, RecognitionOptions(endpointing_ms=None), PhraseScript().next, 2, phrase_recognizer().recognize
    )
    assert finals(events_of(recognizer, np.repeat(mono, 2).tobytes(), 3_200)) == [QUESTIONS[2]]


def test_sound_without_a_pause_is_transcribed_in_pieces_of_twenty_seconds_to_bound_memory() -> None:
    lengths_s: list[int] = []

    def transcriber(pcm: bytes, rate_hz: int) -> str:
        lengths_s.append(len(pcm) // 2 // rate_hz)
        return ""

    music = (8_000 * np.sin(np.arange(45 * RATE_HZ) * 0.1)).astype("<i2").tobytes()
    events = events_of(
        StreamRecognizer(RATE_HZ, RecognitionOptions(), PhraseScript().next, 1, transcriber), music, 32_000
    )
    assert lengths_s == [20, 20, 5] and finals(events) == []


async def test_without_engines_answers_and_sounds_are_simulated() -> None:
    assert await Engines().answer([RequestMessage("user", ("Hello?",))]) is None
    assert len(list(Engines().voice("anna", 8_000).pieces("x" * 50, 20))) == 3


def test_the_emulator_imports_no_engine_that_it_is_not_given() -> None:
    heavy = ("rapidocr_onnxruntime", "pocketsphinx", "espeakng_loader", "soxr", "onnxruntime", "cv2")
    code = f"import sys, cluster.lab.emulator.engines; print([name for name in {heavy} if name in sys.modules])"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert finished.stdout.strip() == "[]"


def test_a_missing_engine_library_is_an_error_that_names_the_extra() -> None:
    with pytest.raises(ConfigurationError) as failed:
        library("no_such_library")
    assert "pip install 'rayroom[senses]'" in failed.value.message


def test_a_missing_resampler_is_reported_before_any_sound_arrives() -> None:
    code = (
        "import sys; sys.modules['soxr'] = None\n"
        "from cluster.lab.emulator.engines import load_engines\n"
        "from routing.errors import ConfigurationError\n"
        "try:\n    load_engines(['what is it'])\n"
        "except ConfigurationError as error:\n    print(error.message)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert finished.stdout.startswith("soxr is missing")
