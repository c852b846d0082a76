"""The emulator's answerer: it answers from pictures, screens and passages, in every vendor's protocol."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import pytest

from cluster.lab.emulator import Emulator, EmulatorState, Fault
from cluster.lab.emulator.core.content import RequestMessage
from cluster.lab.emulator.engines import Engines, load_engines
from cluster.lab.emulator.engines.answerer import RuleAnswerer
from cluster.lab.emulator.engines.tts import SpeechEngine
from room_agent.context.pictures import TrackPicture
from room_agent.context.prompt import AgentManner, PromptQuestion, compose
from room_agent.context.screen_memory import ScreenMemory
from routing.models import Passage
from tests.contract.engine_inputs import GERMAN_QUESTION, QUESTIONS, RATE_HZ, number, ocr, slide

KEY = "5d0c3a91e27b"


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
