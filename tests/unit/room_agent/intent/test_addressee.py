"""The agent is addressed by name, alone, or in a follow-up, and not when participants talk to each other."""

from __future__ import annotations

import random

import pytest

from room_agent.core.models import Person
from room_agent.intent.addressee import Addressee, AddresseeContext, find_addressee
from tests.unit.room_agent.hostile_text import hostile_text

NAMES = ("rayroom", "ray room")
ANN, BOB, WILL = Person("p-ann", "Ann Lee"), Person("p-bob", "Bob"), Person("p-will", "Will")
MEETING = AddresseeContext(people=(ANN, BOB, WILL))
ALONE = AddresseeContext(people=(ANN,))


def addressee_of(text: str, context: AddresseeContext = MEETING, now_s: float = 100.0) -> Addressee:
    return find_addressee(text, "p-ann", context, now_s, NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "Rayroom, what is on the slide?",
        "rayroom what is on the slide",
        "hey Rayroom what does this mean",
        "Hey, ray room. What is the number?",
        "Okay so rayroom can you read that",
        "Rayroom can you see it",
        "rayroom is this right",
        "What is the number, Rayroom?",
        "what is the number rayroom",
        "Rayroom?",
        "Good. Rayroom, go on.",
        "Well, Rayroom, what now?",
        "Tell us, Rayroom, what was on the slide before",
        "RAYROOM: next one",
        "Rayroom, what did Bob say?",
        "Bob, thanks. Rayroom, what is the total?",
        "uh rayroom show me the total",
        "Excuse me Rayroom, what is it?",
        "excuse me rayroom what is it",
        "Good morning Rayroom, what's on the slide?",
        "Sorry Rayroom, what was that?",
        "Quick question Rayroom: what is it?",
        "Let's ask: Rayroom, what is it?",
        "What is on the screen now, Rayroom please?",
        "what is it rayroom please",
        "I have a question for you Rayroom",
        "what's the number @rayroom",
        "Could @Rayroom look that up",
        "Hi everyone\nRayroom, what is it?",
        "Rayroom is the total forty two?",
        "\uff32\uff41\uff59\uff52\uff4f\uff4f\uff4d what is it",
        "Bob what do you make of it, Rayroom?",
        "I say Rayroom! What is it?",
        "Can you read that Rayroom?",
        "whats the budget rayroom",
        "okay and what's the budget rayroom",
        "Go ahead Rayroom",
        "Hold on Rayroom, which one?",
        "What do you have Rayroom?",
        "I didn't get that Rayroom, go on",
        "rayroom just tell me the total",
        "rayroom left column please",
        "Rayroom, what's the total? Bob needs it.",
        "Rayroom, who is right? Bob says forty. Will claims fifty.",
        "Rayroom, can you check? Bob might know.",
        "Rayroom. Bob and I disagree, who is right?",
    ],
)
def test_a_call_by_name_addresses_the_agent(text: str) -> None:
    assert addressee_of(text) == Addressee(True, "called by name")


@pytest.mark.parametrize(
    "text",
    [
        "Bob, what do you think?",
        "bob what do you think",
        "hey Will can you take this",
        "What do you think, Bob?",
        "Will, are you there?",
        "Rayroom, thanks. Bob, what do you think?",
        "Bob, ask rayroom about it",
        "Rayroom's answer was wrong, Bob",
        "Excuse me Bob, is that right",
        "Hey Bob, what do you make of Rayroom?",
        "I have a question for you Bob",
        "what do you think @bob",
        "can you read that Bob",
        "Rayroom, thanks. Hey Bob what do you think?",
        "rayroom is slow. bob what do you think",
        "Bob just say it",
    ],
)
def test_a_call_to_another_participant_does_not_address_the_agent(text: str) -> None:
    recent = AddresseeContext(people=MEETING.people, answered="p-ann", answered_at_s=99.0)
    assert addressee_of(text, recent) == Addressee(False, "another is called")


@pytest.mark.parametrize(
    "text",
    [
        "We should ask Rayroom about it",
        "I think rayroom is great",
        "Rayroom was wrong about that",
        "what do you think of rayroom",
        "Shall we begin?",
        "will you share the deck",
        "the arrayroom is down",
        "Bob was late yesterday",
        "we asked Rayroom yesterday",
        "We asked Rayroom, and it knew",
        "Yesterday I used Rayroom!",
        "With Rayroom, nothing is lost",
        "Everybody loves Rayroom!",
        "It was called Rayroom, I think",
        "Sorry Rayroom is down",
        "That's Rayroom!",
        "Mail it to info@rayroom, not to me",
        "A new Rayroom-based tool",
        "Rayroom seems slow today.",
        "Rayroom went quiet.",
        "Rayroom just answered that",
        "Okay, Rayroom seems slow today.",
        "Well, Rayroom got that wrong.",
        "Rayroom said fifty, is that right?",
        "Can we mute Rayroom?",
        "Do we have Rayroom?",
        "Is it Rayroom?",
        "Let me introduce Rayroom, our new assistant.",
        "I installed Rayroom, it works fine.",
        "",
    ],
)
def test_a_mention_of_the_agent_does_not_address_it(text: str) -> None:
    assert not addressee_of(text).to_agent


@pytest.mark.parametrize("text", ["{log} Rayroom, what is it?", "Rayroom, what is this?\n{log}"])
def test_a_call_before_or_after_pasted_text_is_recognised(text: str) -> None:
    assert addressee_of(text.format(log="a line of a log " * 300)).to_agent


def test_a_participant_alone_with_the_agent_addresses_it() -> None:
    assert addressee_of("what is on the slide", ALONE) == Addressee(True, "nobody else is here")
    assert addressee_of("Will this work?", ALONE).to_agent
    assert addressee_of("what is on the slide").rule == "talk among people"


def test_a_participant_who_just_left_can_be_called_and_does_not_count_as_present() -> None:
    alone = AddresseeContext(people=(ANN,), former=(BOB,))
    assert addressee_of("Bob, are you still there?", alone) == Addressee(False, "another is called")
    assert addressee_of("What did Bob say?", alone) == Addressee(True, "nobody else is here")
    assert addressee_of("Rayroom, where is Bob?", alone).rule == "called by name"


@pytest.mark.parametrize("text", ["mm-hmm", "Uh.", "uh huh", "Mhm. Mm.", "...", "", "\U0001f389"])
def test_a_filler_sound_does_not_address_the_agent(text: str) -> None:
    assert addressee_of(text, ALONE) == Addressee(False, "said nothing")


def test_a_follow_up_of_the_answered_participant_needs_no_name_for_a_while() -> None:
    answered = AddresseeContext(people=MEETING.people, answered="p-ann", answered_at_s=100.0)
    assert addressee_of("and the year before", answered, 115.0) == Addressee(True, "follow-up")
    assert addressee_of("and the year before", answered, 115.1).rule == "talk among people"
    assert not find_addressee("and the year before", "p-bob", answered, 101.0, NAMES).to_agent


def test_a_waiting_asker_may_continue_their_question_for_a_while() -> None:
    waiting = AddresseeContext(people=MEETING.people, answered="p-bob", answered_at_s=100.0, waits_since_s=100.0)
    assert addressee_of("What is the total on the second slide?", waiting, 115.0) == Addressee(True, "follow-up")
    assert addressee_of("What is the total on the second slide?", waiting, 115.1).rule == "talk among people"
    assert addressee_of("Okay.", waiting, 101.0).rule == "talk among people"


def test_a_reply_is_a_follow_up_and_thanks_are_not() -> None:
    answered = AddresseeContext(people=MEETING.people, answered="p-ann", answered_at_s=100.0)
    assert addressee_of("Okay, thank you.", answered, 101.0).rule == "talk among people"
    assert (
        addressee_of("Great, and the year before?", answered, 101.0).rule
        == addressee_of("Yes.", answered, 101.0).rule
        == "follow-up"
    )
    assert addressee_of("Okay.", ALONE).to_agent and addressee_of("Stop Rayroom").rule == "called by name"


def test_an_everyday_word_that_is_also_a_name_calls_nobody() -> None:
    answered = AddresseeContext(people=MEETING.people, answered="p-ann", answered_at_s=100.0)
    assert addressee_of("will you read it out", answered) == Addressee(True, "follow-up")
    assert addressee_of("Will, you read it out", answered).rule == "another is called"


@pytest.mark.parametrize("text", ["Bob needs the one for March too.", "Bob said fifty, is that right?", "And Bob's?"])
def test_a_remark_about_another_participant_may_be_a_follow_up(text: str) -> None:
    answered = AddresseeContext(people=MEETING.people, answered="p-ann", answered_at_s=100.0)
    assert addressee_of(text, answered) == Addressee(True, "follow-up")


@pytest.mark.parametrize("name", ["What is", "Can", "Can you", "Why", "It", "How's", "My iPhone", "Explain Bear"])
@pytest.mark.parametrize("text", ["{} on the screen", "okay {} it so", "{} it", "{}, on the screen, Rayroom?"])
def test_a_display_name_of_common_words_does_not_hide_a_question(name: str, text: str) -> None:
    context = AddresseeContext(people=(ANN, Person("p-1", name)), answered="p-ann", answered_at_s=100.0)
    assert addressee_of(text.format(name), context).to_agent


def test_a_call_to_the_agent_overrides_a_leading_name_without_a_comma() -> None:
    assert (
        addressee_of("bob can show it, Rayroom?").to_agent
        and not addressee_of("Bob, can you show it to Rayroom?").to_agent
    )
    assert not addressee_of("Hey Bob can you show me, Rayroom?").to_agent


def test_the_last_call_in_the_last_two_lines_decides() -> None:
    assert addressee_of("Rayroom, thanks\nBob, what now?").rule == "another is called"
    assert addressee_of("Bob, what now?\r\n@rayroom go on").rule == "called by name"


def test_a_speaker_who_says_their_own_name_calls_nobody() -> None:
    assert addressee_of("Ann here, what is this", ALONE).to_agent


def test_the_agent_answers_to_its_configured_names() -> None:
    names = ("Zoë Bot", "zoe")
    assert find_addressee("zoë bot what now", "p-ann", MEETING, 0.0, names).to_agent
    assert find_addressee("Hey Zoe, what now", "p-ann", MEETING, 0.0, names).to_agent
    assert not find_addressee("Rayroom, what now", "p-ann", MEETING, 0.0, names).to_agent


def test_display_names_without_letters_are_ignored() -> None:
    context = AddresseeContext(
        people=(ANN, Person("p-1", ""), Person("p-2", "\U0001f389"), Person("p-3", "x" * 10_000))
    )
    assert addressee_of("what is on the slide", context).rule == "talk among people"
    assert addressee_of("Rayroom, what is it", context).to_agent


def test_random_text_and_random_names_always_get_a_verdict() -> None:
    rng = random.Random(17)
    for _ in range(100):
        people = [Person(str(index), hostile_text(rng, "rayroom12345", 200)) for index in range(20)]
        verdict = addressee_of(hostile_text(rng, "rayroom, bob", 400), AddresseeContext(people=(ANN, *people)))
        assert verdict.to_agent == (verdict.rule in ("called by name", "nobody else is here", "follow-up"))
