"""Questions about the screen are recognised, and other questions get no frame."""

from __future__ import annotations

import pytest

from room_agent.intent.screen_question import asks_about_screen

SCREEN_QUESTIONS = """
What is the number on the slide before this one?
What's on the screen?
what is this
What does that mean?
Can you see my cursor?
what is she showing
Read this out, please
Summarise the chart
What\u2019s the second bullet?
which one is the tallest bar in the graph
what did we just see
can you read the last line
What does it say?
Explain this
LOOK AT THIS
What's on the monitor?
What is Bob sharing?
What am I pointing at?
What's the error message?
What's the total at the bottom?
What does the third point say?
What's written there?
What's highlighted?
Summarise this
Is this correct?
What was there before?
And the one before that?
What did it say a minute ago?
What's wrong here?
Who wrote this?
What number is that?
Why is this red?
How many rows are there?
Was steht auf dem Bildschirm?
Que dit cette diapositive ?
"""
OTHER_QUESTIONS = """
How many days of leave do I get?
What is our refund policy?
Who is on call this week?
What happened this quarter?
What is the market share of Acme?
thanks, that helps
What are the figures for sales?
How is this week looking?
I think that we should go on
what is the number of employees
What is the budget of project falcon?
What did the board decide?
Who is presenting tomorrow?
Is Bob here?
Is that right?
What is the bottom line?
Do these rules apply to contractors?
What was decided earlier?
"""


@pytest.mark.parametrize("text", SCREEN_QUESTIONS.strip().split("\n"))
def test_a_question_about_the_screen_is_recognised(text: str) -> None:
    assert asks_about_screen(text)


@pytest.mark.parametrize("text", [*OTHER_QUESTIONS.strip().split("\n"), ""])
def test_a_question_about_another_subject_needs_no_frame(text: str) -> None:
    assert not asks_about_screen(text)


def test_a_question_in_the_words_of_the_screen_is_about_the_screen() -> None:
    descriptions = ["A table of revenue by quarter: Q1 412, Q2 97."]
    assert asks_about_screen("Which quarter has the highest revenue?", descriptions)
    assert asks_about_screen("Welches quarter hat die revenue?", descriptions)
    assert not asks_about_screen("When does the next quarter begin?", descriptions)
    assert not asks_about_screen("Which quarter has the highest revenue?")


@pytest.mark.parametrize(
    "text", ["And in March?", "What about the red one?", "Rayroom, and Germany?", "okay, and why?"]
)
def test_a_short_follow_up_to_a_screen_question_is_about_the_screen(text: str) -> None:
    assert asks_about_screen(text, follows=True)
    assert asks_about_screen("And in March?") is False


@pytest.mark.parametrize(
    "text",
    [
        "And what's our travel policy?",
        "What about lunch?",
        "And thanks!",
        "Who is the CEO?",
        "And could somebody tell me how many days of leave a person gets?",
    ],
)
def test_a_question_with_its_own_subject_is_no_follow_up(text: str) -> None:
    assert not asks_about_screen(text, follows=True)


@pytest.mark.parametrize("template", ["{paste} What does the last line mean?", "Explain this: {paste}"])
def test_a_question_before_or_after_pasted_text_is_found(template: str) -> None:
    assert asks_about_screen(template.format(paste="lorem ipsum " * 1_000))
