"""The emulator's engines: drawn text is read, questions and synthesised speech are recognised."""

from __future__ import annotations

import base64
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import aiohttp
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from cluster.lab.emulator import Emulator, EmulatorState, Fault
from cluster.lab.emulator.core.content import RequestMessage
from cluster.lab.emulator.core.engines import SpokenVoice
from cluster.lab.emulator.engines import Engines, load_engines
from cluster.lab.emulator.engines.answerer import RuleAnswerer
from cluster.lab.emulator.engines.asr import DigitRecognizer, PhraseRecognizer
from cluster.lab.emulator.engines.library import library
from cluster.lab.emulator.engines.ocr import NOTHING, OcrEngine
from cluster.lab.emulator.engines.pcm import pcm_of, samples_of
from cluster.lab.emulator.engines.tts import SpeechEngine
from cluster.lab.emulator.speech.recognizer import (
    Event,
    PhraseScript,
    RecognitionOptions,
    RecognizedSpeech,
    StreamRecognizer,
)
from room_agent.context.pictures import TrackPicture
from room_agent.context.prompt import AgentManner, PromptQuestion, compose
from room_agent.context.screen_memory import ScreenMemory
from room_agent.frames.encoder import encode
from room_agent.frames.i420 import Planes
from routing.errors import ConfigurationError
from routing.models import Passage

RATE_HZ = 16_000
QUESTIONS = (
    "Rayroom, what number is on the slide?",
    "What number was on the slide before this one?",
    "What is the budget of project falcon?",
    "How many people work in the London office?",
    "What is the code of the meeting room?",
    "Thank you very much.",
    "Stop.",
)
GERMAN_QUESTION = "Welche Zahl steht auf der Folie?"
SPEAKERS = ("en-us", "en-us+f2", "en-us+m3", "en-us+m5", "en-gb-x-rp")
KEY = "5d0c3a91e27b"


@cache
def ocr() -> OcrEngine:
    return OcrEngine()


@cache
def phrase_recognizer() -> PhraseRecognizer:
    return PhraseRecognizer(QUESTIONS)


def number() -> str:
    """Return a random number of five digits."""
    return str(10_000 + secrets.randbelow(90_000))


def slide(text: str, long_side_px: int = 1_024) -> bytes:
    """Return a slide as the room agent sends it: I420 of limited range, scaled and encoded."""
    image = Image.new("YCbCr", (1_280, 720), (235, 128, 128))
    pen = ImageDraw.Draw(image)
    pen.text((120, 60), "Quarterly review", fill=(16, 128, 128), font=ImageFont.load_default(50))
    pen.text((120, 240), text, fill=(16, 128, 128), font=ImageFont.load_default(200))
    y, u, v = (np.asarray(plane) for plane in image.split())
    planes = Planes(y=y, u=np.ascontiguousarray(u[::2, ::2]), v=np.ascontiguousarray(v[::2, ::2]))
    return encode(planes, long_side_px=long_side_px).jpeg


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


def agent_turn(
    text: str, jpegs: Mapping[str, bytes] | None = None, *, passages: tuple[Passage, ...] = ()
) -> list[RequestMessage]:
    """Return a turn as the room agent composes it, of a room that saw two slides; `jpegs` are the shares now."""
    memory = ScreenMemory()
    memory.add("TR_1", "The screen shows 111, Plans.", 0.0, shared_by="Ann")
    memory.add("TR_1", "The screen shows 222, Review.", 60.0, shared_by="Ann")
    pictures = [
        TrackPicture(
            track=name,
            label=memory.label(name, "screen_share", name),
            source="screen_share",
            identity=name,
            jpeg=jpeg,
            size_px=(1_024, 576),
            changed_at_s=60.0,
        )
        for name, jpeg in (jpegs or {}).items()
    ]
    question = PromptQuestion(text=text, asker="Bob", now_s=70.0, memory=memory, passages=passages, pictures=pictures)
    turn = compose(question, KEY, 6_000, AgentManner(name="Rayroom", spoken=True))
    texts = ("system", turn.instructions), ("system", turn.key_note), ("user", turn.context)
    return [
        *(RequestMessage(role, (words,)) for role, words in texts),
        RequestMessage("user", (*turn.jpegs, turn.question)),
    ]


def passage(text: str) -> Passage:
    return Passage(passage_id="p", source="handbook.md", text=text, score=0.9)


def test_the_answerer_reads_the_picture_the_current_slide_or_the_one_before_it() -> None:
    answerer, drawn = RuleAnswerer(ocr().describe), number()
    assert answerer.answer(agent_turn(QUESTIONS[0], {"Ann": slide(drawn)})) == f"The number on the slide is {drawn}."
    assert answerer.answer(agent_turn(QUESTIONS[0])) == "The number on the slide is 222."
    assert answerer.answer(agent_turn(QUESTIONS[1], {"Ann": slide(drawn)})) == "The slide before this one showed 111."


def test_the_answerer_reads_the_share_of_the_named_person_and_answers_german_in_german() -> None:
    answerer, drawn = RuleAnswerer(ocr().describe), number()
    shares = {"Cat": slide("Agenda"), "Ann": slide(drawn)}
    assert answerer.answer(agent_turn("What number is on the slide of Ann?", shares)).endswith(f" {drawn}.")
    assert answerer.answer(agent_turn(GERMAN_QUESTION, shares)) == "Ich sehe keine Zahl auf der Folie."
    assert answerer.answer(agent_turn(GERMAN_QUESTION, {"Ann": slide(drawn)})) == f"Die Zahl auf der Folie ist {drawn}."


def test_the_answerer_finds_the_question_in_a_message_that_holds_several() -> None:
    system, _, context, question = agent_turn(QUESTIONS[0])
    before = RequestMessage("user", ("What was the slide before this one?",))
    merged = RequestMessage("user", (*before.parts, *context.parts, *question.parts))
    assert RuleAnswerer(ocr().describe).answer([system, merged]) == "The number on the slide is 222."


@pytest.mark.parametrize("number", ["00417", "73.25", "1,234,567", "1'250", "12 345 678", "7"])
def test_a_number_is_taken_whole_from_the_description_of_a_screen(number: str) -> None:
    memory = ScreenMemory()
    memory.add("TR_1", f"Q3 revenue {number} dollars", 0.0)
    question = PromptQuestion(text=QUESTIONS[0], asker="Ann", now_s=1.0, memory=memory)
    turns = compose(question, "5d0c3a91e27b", 6_000, AgentManner(name="rayroom", spoken=True))
    answer = RuleAnswerer(ocr().describe).answer(
        [RequestMessage("user", (turns.context,)), RequestMessage("user", (turns.question,))]
    )
    assert answer == f"The number on the slide is {number}."


def test_the_answerer_returns_the_matching_sentence_or_names_the_words_it_did_not_find() -> None:
    answerer = RuleAnswerer(ocr().describe)
    falcon = passage("Project Heron has 300. The budget of project Falcon is 48213 dollars. It began in 2024.")
    assert (
        answerer.answer(agent_turn(QUESTIONS[2], passages=(falcon,)))
        == "The budget of project Falcon is 48213 dollars."
    )
    assert answerer.answer(agent_turn(QUESTIONS[2])) == "I find nothing about budget project falcon."


def test_the_answerer_describes_a_picture_without_a_question() -> None:
    drawn = number()
    turn = RequestMessage("user", (slide(drawn), "Describe what is on this screen."))
    assert drawn in RuleAnswerer(ocr().describe).answer([turn])


async def test_loaded_engines_recognize_answer_and_speak_together() -> None:
    engines, drawn = load_engines(QUESTIONS), number()
    assert engines.transcriber is not None and engines.speaker is not None
    question = engines.transcriber(SpeechEngine("en-us").speak(QUESTIONS[0], RATE_HZ), RATE_HZ)
    words = await engines.answer(agent_turn(question, {"Ann": slide(drawn)}))
    assert words is not None and words[-1] == f"{drawn}."
    assert len(engines.speaker(" ".join(words), RATE_HZ)) > 2 * RATE_HZ


async def test_without_engines_answers_and_sounds_are_simulated() -> None:
    assert await Engines().answer([RequestMessage("user", ("Hello?",))]) is None
    assert len(list(Engines().voice("anna", 8_000).pieces("x" * 50, 20))) == 3


def bodies(jpeg: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Return one question with a picture in each vendor's protocol."""
    data = base64.b64encode(jpeg).decode()
    picture = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}
    source = {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": data}}
    question = {"type": "text", "text": "And?"}
    system = {"role": "system", "content": "Be brief."}
    openai = {"model": "m", "messages": [system, {"role": "user", "content": [picture, question]}]}
    anthropic = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [source, question]}]}
    parts = [{"inlineData": {"mimeType": "image/jpeg", "data": data}}, {"text": "And?"}]
    gemini = {"contents": [{"role": "user", "parts": parts}], "systemInstruction": {"parts": [{"text": "Be brief."}]}}
    return [
        ("/openai/v1/chat/completions", openai),
        ("/anthropic/v1/messages", anthropic | {"system": "Be brief."}),
        ("/gemini/v1/models/m:generateContent", gemini),
    ]


async def test_messages_and_pictures_of_each_vendor_reach_the_answerer_and_its_words_are_billed() -> None:
    got: list[list[RequestMessage]] = []

    def answerer(turns: Sequence[RequestMessage]) -> str:
        got.append(list(turns))
        return "It is 12345."

    headers = {"authorization": "Bearer k", "x-goog-api-key": "k", "anthropic-version": "2026-10-21"}
    jpeg = slide("7")
    async with (
        Emulator(EmulatorState(engines=Engines(answerer=answerer))).running() as emulator,
        aiohttp.ClientSession() as http,
    ):
        for path, body in bodies(jpeg):
            async with http.post(emulator.url + path, json=body, headers=headers) as response:
                assert response.status == 200 and "It is 12345." in await response.text()
    assert got == [[RequestMessage("system", ("Be brief.",)), RequestMessage("user", (jpeg, "And?"))]] * 3
    assert [seen.completion_tokens for seen in emulator.journal] == [3, 3, 3]


async def test_a_planned_fault_precedes_the_answerer_and_a_limit_cuts_its_words() -> None:
    state = EmulatorState(engines=Engines(answerer=lambda _: "one two three four"))
    headers, url = {"authorization": "Bearer k"}, "/openai/v1/chat/completions"
    body = {"model": "m", "messages": [{"role": "user", "content": "Count."}], "max_tokens": 2}
    async with Emulator(state).running() as emulator, aiohttp.ClientSession(emulator.url, headers=headers) as http:
        emulator.plan(Fault(refusal="refused"))
        said = []
        for _ in range(2):
            async with http.post(url, json=body) as response:
                choice = (await response.json())["choices"][0]
                said.append((choice["message"]["content"], choice["finish_reason"]))
    assert said == [(None, "stop"), ("one two", "length")]


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
