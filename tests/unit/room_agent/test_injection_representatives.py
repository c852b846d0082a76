"""The first injection of each pair of channel and technique, in every channel, and properties of all injections."""

from __future__ import annotations

import random
import re

import pytest

from room_agent.context.prompt import PromptQuestion, Remark, compose, instructions
from room_agent.context.screen_memory import ScreenMemory
from room_agent.text.quoting import Fence, clean_name
from routing.models import Passage
from tests.unit.room_agent.injections import (
    HARMLESS,
    INJECTIONS,
    KEY,
    PLACES,
    QUESTION,
    REPRESENTATIVES,
    Injection,
    assert_adds_no_message,
    assert_leaks_no_secret,
    assert_stays_data,
    turn,
)
from tests.unit.room_agent.nasty import CONTROL_TOKENS, nasty, quotations, read_on


def test_the_table_has_injections_for_every_channel() -> None:
    assert len(INJECTIONS) >= 30 and len({injection.name for injection in INJECTIONS}) == len(INJECTIONS)
    kinds = [injection.where for injection in INJECTIONS]
    assert {"screen", "chat", "passage", "name", "transcript"} == set(kinds)
    assert min(kinds.count(kind) for kind in set(kinds)) >= 4


def test_each_channel_and_technique_has_one_representative() -> None:
    pairs = [(injection.where, injection.technique) for injection in REPRESENTATIVES]
    assert len(pairs) == len(set(pairs)) and set(pairs) == {(one.where, one.technique) for one in INJECTIONS}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("injection", REPRESENTATIVES, ids=lambda injection: injection.name)
def test_a_representative_stays_quoted_data_and_reveals_no_secret(injection: Injection, place: str) -> None:
    assert_stays_data(injection, place)
    assert_adds_no_message(injection, place)
    assert_leaks_no_secret(injection, place)


def test_a_passage_cannot_change_its_reported_source() -> None:
    (injection,) = [injection for injection in INJECTIONS if injection.name == "passage that names a false source"]
    assert turn("passage", injection.text).sources == (HARMLESS,)


@pytest.mark.parametrize("place", ["name", "transcript", "chat"])
def test_a_participant_cannot_forge_the_name_of_another_speaker(place: str) -> None:
    """Each remark is one line, and no name holds a quotation mark that could end it early."""
    for injection in INJECTIONS:
        found = quotations(turn(place, injection.text).context, KEY)
        first, second = next(quotation.lines for quotation in found if quotation.label == "said")
        speaker = Fence(KEY).inner(clean_name(injection.text if place == "name" else HARMLESS))
        assert first.startswith(f'"{speaker}", 25 s ago: ') and not re.search('[:",;[]', speaker)
        assert second.startswith('"Bob", 24 s ago: ')


def test_random_text_in_every_channel_at_once_stays_quoted_data() -> None:
    for seed in range(150):
        rng = random.Random(seed)
        memory = ScreenMemory()
        for index in range(4):
            memory.add("TR_1", nasty(rng, KEY), 10.0 * index, shared_by=nasty(rng, KEY))
        everywhere = PromptQuestion(
            text=QUESTION + nasty(rng, KEY),
            asker=nasty(rng, KEY),
            now_s=60.0,
            memory=memory,
            passages=[Passage(passage_id="p", source=nasty(rng, KEY), text=nasty(rng, KEY), score=rng.random())],
            said=[Remark(who=nasty(rng, KEY), text=nasty(rng, KEY), at_s=1.0)],
        )
        composed = compose(everywhere, KEY, 6_000, agent_name="rayroom")
        for quotation in quotations(composed.context, KEY):
            assert KEY not in read_on(quotation.text)
            assert not any(token in quotation.text for token in CONTROL_TOKENS)
        assert composed.instructions == instructions("rayroom", spoken=True)
