"""The first injection of each pair of channel and technique, in every channel, and properties of all injections."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest

from room_agent.context.prompt import PromptQuestion, Remark, compose, instructions
from room_agent.context.screen_memory import ScreenMemory
from room_agent.text.quoting import Fence, clean_name
from routing.models import Passage
from tests.unit.room_agent.hostile_text import CONTROL_TOKENS, as_read_by_model, hostile_text, quotations
from tests.unit.room_agent.injections import (
    AGENT,
    CHANNELS,
    HARMLESS,
    INJECTIONS,
    KEY,
    QUESTION,
    REPRESENTATIVES,
    Injection,
    assert_adds_no_message,
    assert_leaks_no_secret,
    assert_stays_data,
    question_with,
    turn,
)


def test_the_table_has_injections_for_every_channel() -> None:
    assert len(INJECTIONS) >= 30 and len({injection.name for injection in INJECTIONS}) == len(INJECTIONS)
    channels = [injection.channel for injection in INJECTIONS]
    assert {"screen", "chat", "passage", "name", "transcript", "tool", "company"} == set(channels)
    assert min(channels.count(channel) for channel in set(channels)) >= 4


def test_each_channel_and_technique_has_one_representative() -> None:
    pairs = [(injection.channel, injection.technique) for injection in REPRESENTATIVES]
    assert len(pairs) == len(set(pairs)) and set(pairs) == {
        (injection.channel, injection.technique) for injection in INJECTIONS
    }


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("injection", REPRESENTATIVES, ids=lambda injection: injection.name)
def test_a_representative_stays_quoted_data_and_reveals_no_secret(injection: Injection, channel: str) -> None:
    assert_stays_data(injection, channel)
    assert_adds_no_message(injection, channel)
    assert_leaks_no_secret(injection, channel)


def test_a_passage_cannot_change_its_reported_source() -> None:
    (injection,) = [injection for injection in INJECTIONS if injection.name == "passage that names a false source"]
    assert turn("passage", injection.text).sources == (HARMLESS,)


@pytest.mark.parametrize("channel", ["name", "transcript", "chat"])
def test_a_participant_cannot_forge_the_name_of_another_speaker(channel: str) -> None:
    """Each remark is one line, and no name holds a quotation mark that could end it early."""
    for injection in INJECTIONS:
        parsed = quotations(turn(channel, injection.text).context, KEY)
        first, second = next(quotation.lines for quotation in parsed if quotation.label == "said")
        speaker = Fence(KEY).inner(clean_name(injection.text if channel == "name" else HARMLESS))
        assert first.startswith(f'"{speaker}", 25 s ago: ') and not re.search('[:",;[]', speaker)
        assert second.startswith('"Bob", 24 s ago: ')


@pytest.mark.parametrize("injection", INJECTIONS, ids=lambda injection: injection.name)
def test_the_instructions_of_a_tenant_stay_one_quotation_below_the_rules(injection: Injection) -> None:
    harmless, attacked = (
        compose(question_with("screen", HARMLESS), KEY, 6_000, replace(AGENT, company=text))
        for text in (HARMLESS, injection.text)
    )
    (company,) = quotations(attacked.company, KEY)
    assert company.label == "company" and KEY not in as_read_by_model(company.text)
    assert (attacked.instructions, attacked.key_note) == (harmless.instructions, harmless.key_note)
    assert attacked.context == harmless.context and attacked.question == harmless.question


def test_random_text_in_every_channel_at_once_stays_quoted_data() -> None:
    for seed in range(150):
        rng = random.Random(seed)
        memory = ScreenMemory()
        for index in range(4):
            memory.add("TR_1", hostile_text(rng, KEY), 10.0 * index, shared_by=hostile_text(rng, KEY))
        question = PromptQuestion(
            text=QUESTION + hostile_text(rng, KEY),
            asker=hostile_text(rng, KEY),
            now_s=60.0,
            memory=memory,
            passages=[
                Passage(passage_id="p", source=hostile_text(rng, KEY), text=hostile_text(rng, KEY), score=rng.random())
            ],
            remarks=[Remark(speaker=hostile_text(rng, KEY), text=hostile_text(rng, KEY), at_s=1.0)],
        )
        composed = compose(question, KEY, 6_000, AGENT)
        for quotation in quotations(composed.context, KEY):
            assert KEY not in as_read_by_model(quotation.text)
            assert not any(token in quotation.text for token in CONTROL_TOKENS)
        assert composed.instructions == instructions(AGENT)
