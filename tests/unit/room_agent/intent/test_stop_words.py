"""Thanks and requests to stop are recognised, and questions that contain them are not."""

from __future__ import annotations

import pytest

from room_agent.intent.stop_words import acknowledges, asks_agent_to_stop, asks_to_stop

NAMES = ("Rayroom", "ray room")


@pytest.mark.parametrize(
    ("text", "stops"),
    [
        ("Rayroom, stop.", True),
        ("Stop please!", True),
        ("ray room be quiet", True),
        ("okay, enough, thank you", True),
        ("Rayroom, stop talking.", True),
        ("Rayroom, stop it.", True),
        ("That\u2019s enough, Rayroom.", True),
        ("Rayroom, please stop now.", True),
        ("Quiet please, Rayroom!", True),
        ("Rayroom, shut up!", True),
        ("Never mind, Rayroom.", True),
        ("no no, Rayroom, cancel that", True),
        ("Rayroom, when does the bus stop?", False),
        ("Rayroom, stop the recording policy, what is it?", False),
        ("Rayroom, stop talking about what?", False),
        ("Rayroom, never mind the chart, what is the total?", False),
        ("Rayroom, is that enough?", False),
        ("Rayroom, cancel", True),
        ("Rayroom, now please", False),
        ("Rayroom.", False),
        ("thank you", False),
        ("Wait, stop.", True),
        ("Alright, stop.", True),
        ("Yeah, that's enough.", True),
        ("Um, stop.", True),
        ("You can stop now.", True),
        ("Can you stop please?", True),
        ("Could you stop talking please?", True),
        ("That will do.", True),
        ("That's enough for now.", True),
        ("No, I said stop!", True),
        ("Rayroom, wait.", True),
        ("Rayroom, hold on.", True),
        ("Rayroom, be quiet for a moment.", True),
        ("Rayroom, stop, I've got it.", True),
        ("Stop Rayroom", True),
        ("Wait, what is the total?", False),
        ("Hold on, which slide?", False),
        ("Can you wait for Bob's slide?", False),
        ("Good, and for now?", False),
    ],
)
def test_only_a_plain_request_to_stop_stops_the_agent(text: str, stops: bool) -> None:
    assert asks_to_stop(text, NAMES) is stops


def test_a_long_repetition_of_a_request_to_stop_is_parsed() -> None:
    assert not asks_to_stop("be quiet " * 900 + "Bob", NAMES)
    assert asks_to_stop("be quiet " * 900, NAMES)


@pytest.mark.parametrize("text", ["Stop Rayroom", "That's enough Rayroom", "Be quiet Rayroom", "Wait Rayroom"])
def test_a_request_to_stop_with_the_agents_name_needs_no_comma(text: str) -> None:
    assert asks_agent_to_stop(text, NAMES) and not asks_agent_to_stop(text, ("Bob",))


@pytest.mark.parametrize(
    "text",
    "Okay.|Okay, thanks.|Thank you very much.|Great, thanks.|Got it.|I see.|Right.|Makes sense.|Oh, okay.|All right.|"
    "Perfect, thank you.|That makes sense, thank you so much.|Good to know.".split("|"),
)
def test_thanks_are_no_question(text: str) -> None:
    assert acknowledges(text)


@pytest.mark.parametrize(
    "text",
    "Yes.|No.|Sure.|Right?|Got it\uff1f|Great, and the year before?|I see the slide.|Thank Bob.||Stop.".split("|"),
)
def test_a_reply_or_a_follow_up_is_more_than_thanks(text: str) -> None:
    assert not acknowledges(text)
