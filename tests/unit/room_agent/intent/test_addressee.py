"""The agent is addressed by a name that is set off, alone, or in a follow-up; the rest is left to the model."""

from __future__ import annotations

import random

import pytest

from room_agent.core.models import Person
from room_agent.intent.addressee import Address, AddresseeContext, find_addressee, names_agent
from tests.unit.room_agent.hostile_text import hostile_text

NAMES = ("rayroom", "ray room")
ANN, BOB = Person("p-ann", "Ann Lee"), Person("p-bob", "Bob")
MEETING = AddresseeContext(people=(ANN, BOB))
ALONE = AddresseeContext(people=(ANN,))
ANSWERED = AddresseeContext(people=MEETING.people, answered="p-ann", answered_at_s=100.0)


def addressee_of(text: str, context: AddresseeContext = MEETING, now_s: float = 101.0) -> Address:
    return find_addressee(text, "p-ann", context, now_s, NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "Rayroom, what is on the slide?",
        "rayroom was steht auf der Folie",
        "Rayroom.",
        "Hé, ray room, quel est le total ?",
        "Buenos días, Rayroom, ¿cuál es el total?",
        "Qual è il totale, Rayroom?",
        "Wie hoch ist es, Ray-Room, bitte?",
        "Obrigado, Bob. Rayroom, qual é o total?",
        "Could @Rayroom look that up",
        "\uff32\uff41\uff59\uff52\uff4f\uff4f\uff4d, what is it?",
    ],
)
def test_a_name_set_off_at_the_start_or_end_of_a_sentence_addresses_the_agent(text: str) -> None:
    assert addressee_of(text) == "addressed"


@pytest.mark.parametrize(
    "text",
    [
        "Das sollten wir Rayroom fragen.",
        "On pourrait demander à Rayroom si le total est juste.",
        "Ayer rayroom se equivocó.",
        "la cifra nueva rayrom",
        "Che cosa ne pensi di Rayroom?",
        "Bob, can you show it to Rayroom?",
        "Rayroom, obrigado. Bob, o que você acha?",
        "A Rayroom-based tool",
        "Rayroom's answer was wrong, Bob",
    ],
)
def test_a_name_elsewhere_is_for_the_model_to_decide(text: str) -> None:
    assert addressee_of(text) == "unsure"


@pytest.mark.parametrize(
    "text", ["Shall we begin?", "Bob, was meinst du?", "Mail it to info@rayroom, not to me", "the arrayroom", "...", ""]
)
def test_talk_without_the_name_addresses_nobody(text: str) -> None:
    assert addressee_of(text) == "not addressed"


def test_somebody_alone_asks_the_agent_and_whatever_else_they_say_is_for_the_model_to_decide() -> None:
    assert addressee_of("Was steht auf der Folie?", ALONE) == addressee_of("Kann Rayroom das?", ALONE) == "addressed"
    assert addressee_of("Vielen Dank.", ALONE) == addressee_of("Wo ist nur meine Brille", ALONE) == "unsure"
    assert addressee_of("\U0001f389", ALONE) == "not addressed"
    left = AddresseeContext(people=(ANN,), former=(BOB,))
    assert addressee_of("Bob, bist du noch da oder schon weg?", left) == "unsure"


def test_a_question_soon_after_an_answer_is_a_follow_up_and_anything_later_is_unsure() -> None:
    assert addressee_of("Et en mars ?", ANSWERED, 106.0) == "addressed"
    assert addressee_of("Et en mars ?", ANSWERED, 106.1) == addressee_of("Danke.", ANSWERED) == "unsure"
    assert addressee_of("Bob, und was sagst du?", ANSWERED) == "unsure"
    assert addressee_of("Et en mars ?", ANSWERED, 115.1) == "not addressed"


def test_what_others_say_within_seconds_after_an_answer_is_unsure() -> None:
    assert find_addressee("Et en mars ?", "p-bob", ANSWERED, 115.0, NAMES) == "unsure"
    assert find_addressee("Et en mars ?", "p-bob", ANSWERED, 115.1, NAMES) == "not addressed"


def test_a_name_is_found_wherever_it_stands_and_in_parts() -> None:
    for text in ("Attends, Rayroom, stop. Une chose à la fois.", "scusa ray room fermati un attimo"):
        assert names_agent(text, NAMES)
    for text in ("Stopp, die Zahlen stimmen noch nicht.", "the arrayroom", ""):
        assert not names_agent(text, NAMES)


def test_a_sentence_that_begins_with_the_name_is_a_call_unless_its_marks_leave_it_out() -> None:
    for text in ("Rayroom, the slide.", "Rayroom what is it?", "rayroom what did we agree on", "Rayroom."):
        assert addressee_of(text) == "addressed"
    for text in ("Rayroom only takes notes, Mrs Ashby.", "Rayroom from sales said so."):
        assert addressee_of(text) == "unsure"


def test_an_asker_who_waits_may_continue_their_question_and_talks_to_others_apart_from_it() -> None:
    waiting = AddresseeContext(people=MEETING.people, answered="p-bob", answered_at_s=100.0, waits_since_s=100.0)
    for text in ("What is it on the second slide?", "La segunda, digo.", "März?"):
        assert addressee_of(text, waiting) == "addressed"
    for text in ("Okay.", "mm-hmm", "Bob, my password is hunter two."):
        assert addressee_of(text, waiting) == "not addressed"


def test_the_agent_answers_to_its_configured_names() -> None:
    names = ("Zoë Bot", "zoe")
    for text in ("zoë bot, what now", "Hey Zoe, what now"):
        assert find_addressee(text, "p-ann", MEETING, 0.0, names) == "addressed"
    assert find_addressee("Rayroom, what now", "p-ann", MEETING, 0.0, names) == "not addressed"


def test_a_participant_who_takes_the_agents_name_takes_no_call_from_it() -> None:
    context = AddresseeContext(people=(ANN, Person("p-1", "Rayroom")))
    assert addressee_of("Rayroom, what is it?", context) == "addressed"


@pytest.mark.parametrize("text", ["{log}. Rayroom, what is it?", "Rayroom, what is this?\n{log}"])
def test_a_call_before_or_after_pasted_text_is_recognised(text: str) -> None:
    assert addressee_of(text.format(log="a line of a log " * 300)) == "addressed"


def test_random_text_and_random_names_get_a_verdict() -> None:
    rng = random.Random(17)
    for _ in range(50):
        people = [Person(str(index), hostile_text(rng, "rayroom12345", 200)) for index in range(20)]
        text = hostile_text(rng, "rayroom, bob", 400)
        assert addressee_of(text, AddresseeContext(people=(ANN, *people))) in ("addressed", "not addressed", "unsure")
