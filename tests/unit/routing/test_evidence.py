"""An empty or declining answer is recognised, and any other answer is accepted."""

from __future__ import annotations

import pytest

from routing.chat import Effort, ToolCall
from routing.evidence import needs_stronger, only_thought
from routing.models import Answer, Finish, Usage


def reason(text: str, finish: Finish = "stop") -> str | None:
    return needs_stronger(Answer(text=text, model="m", finish=finish, usage=None))


@pytest.mark.parametrize("text", ["", "  \n", "...", "—"])
def test_an_answer_without_letters_or_digits_is_empty(text: str) -> None:
    assert reason(text) == "empty"
    assert reason(text, "tool_calls") is None


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_a_tool_call_is_an_answer_whatever_its_finish_reason(finish: Finish) -> None:
    call = ToolCall(call_id="c1", name="look", arguments="{}")
    answer = Answer(text="", model="m", finish=finish, usage=None, tool_calls=(call,))
    assert needs_stronger(answer) is None and not only_thought(answer, "low")


@pytest.mark.parametrize("text", ["{}", "[]", '{"found": []', '"I cannot help with that."'])
def test_json_is_an_answer_where_json_was_requested(text: str) -> None:
    answer = Answer(text=text, model="m", finish="length", usage=None)
    assert needs_stronger(answer, json=True) is None


def test_blank_text_and_a_refusal_are_no_json() -> None:
    assert needs_stronger(Answer(text=" \n", model="m", finish="stop", usage=None), json=True) == "empty"
    assert needs_stronger(Answer(text="{}", model="m", finish="refusal", usage=None), json=True) == "refused"


@pytest.mark.parametrize(
    ("text", "finish", "effort", "thinking_tokens", "expected"),
    [
        ("", "length", "low", 0, True),
        (" \n", "length", "low", 0, True),
        ("", "length", "none", 0, False),
        ("", "length", None, 0, False),
        ("", "length", None, 90, True),
        ("", "stop", "low", 90, False),
        ("The", "length", "low", 90, False),
    ],
)
def test_an_answer_is_thought_only_if_the_model_thought_until_its_limit_and_wrote_nothing(
    text: str, finish: Finish, effort: Effort | None, thinking_tokens: int, expected: bool
) -> None:
    usage = Usage(output_tokens=90, thinking_tokens=thinking_tokens)
    assert only_thought(Answer(text=text, model="m", finish=finish, usage=usage), effort) is expected


def test_an_answer_cut_inside_its_first_sentence_is_truncated() -> None:
    assert reason("The chart shows that the", "length") == "truncated"
    assert reason("The chart shows sales. They rise from", "length") is None
    assert reason("The chart shows that the", "stop") is None


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, I cannot assist with that request. If there is anything else, let me know.",
        "I am unable to provide that information.",
        "As an AI model, I can't answer that.",
        "Unfortunately, I won't discuss this topic.",
        "Sorry. I can't comply.",
    ],
)
def test_a_short_answer_that_declines_is_refused(text: str) -> None:
    assert reason(text) == "refused"


def test_a_refusal_finish_reason_counts_whatever_the_text() -> None:
    assert reason("The slide is blue.", "refusal") == "refused"


@pytest.mark.parametrize(
    "text",
    [
        "I can't read the text in this image.",
        "I'm sorry, but I cannot make out what is on the screen.",
        "I'm unable to see your screen.",
        "I can't see any image.",
        "The text is too small to read.",
        "The image is blurry.",
        "Unfortunately, the small text is illegible.",
        "I\u2019m sorry. I can't read it. Please zoom in.",
        "This screenshot appears to be too dark to make out any detail.",
    ],
)
def test_a_short_answer_that_calls_the_picture_unreadable_is_unreadable(text: str) -> None:
    assert reason(text) == "unreadable"


@pytest.mark.parametrize(
    "text",
    [
        'The error dialog says "I can\'t read the file" and offers a retry.',
        "The log line is `cannot read the text segment`; the process then exits with 1.",
        "The slide says that users can't see the image when they are offline.",
        "I can't see any errors in this code.",
        "I can't see any text on this slide.",
        "I can't read the footer text, but the title is Q3 revenue: 4.2 million.",
        "The text is too small to read in the sidebar, but the main window shows a terminal.",
        "The image is blurry on the left and shows a bar chart with three bars on the right.",
        "I can't help with the login itself, but the button in the top corner resets your password.",
        "The policy page says the company cannot assist with refunds after 30 days.",
        "The text is small and lists three bullet points.",
        "The slide is dark.",
        "Sorry! is the title of the page, with a picture of a broken robot below it.",
        "No, the value is 42.",
        'The dialog says "I can\'t read the image".',
        "The chat shows I cannot help with that.",
        "I can't read the text. It is Greek. The title may be Logos.",
        "> I'm sorry, I can't help with that.\nis the bot's last message.",
    ],
)
def test_an_answer_that_quotes_a_refusal_is_accepted(text: str) -> None:
    assert reason(text) is None


def test_a_long_answer_is_accepted_despite_its_apology() -> None:
    rest = "It lies under a chart that has " + "one more bar of this kind, " * 7
    assert reason(f"I can't read the text in the footer. {rest}") is None
    assert reason("I can't read the text in the footer. It lies under a chart.") == "unreadable"
