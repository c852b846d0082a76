"""Check the order and the budget of recalled entries."""

from __future__ import annotations

import pytest

from room_agent.context.screen_memory import ScreenMemory
from room_agent.text.quoting import tokens_of
from tests.unit.room_agent.context.test_screen_memory import LONG, recalled_lines


@pytest.mark.parametrize(("every_s", "minutes"), [(1.5, 3), (1.5, 90), (5.0, 15), (10.0, 360), (10.0, 30)])
def test_a_busy_screen_displaces_no_slide_that_was_shown_before_it(every_s: float, minutes: int) -> None:
    memory = ScreenMemory()
    for index in range(5):
        memory.add("TR_a", f"The slide is titled Topic {index} and has a chart. More.", 60.0 * index, shared_by="Ann")
    memory.end("TR_a", 300.0)
    for index in range(int(60 * minutes / every_s)):
        text = f"{LONG} {index} " + "It shows a code editor, a terminal and a tree of files. " * 3
        memory.add("TR_b", text, 300.0 + every_s * index, shared_by="Bob", edited=index % 2 == 1)
    recalled = memory.recall(300.0 + 60 * minutes, 2_000, "What was on Ann's first slide?")
    assert ["Topic 0" in line for line in recalled.split("\n")[:3]] == [False, True, False] and "shown now" in recalled
    assert all(f"Topic {index}" in recalled for index in range(5)) or minutes > 60


def test_entries_of_the_participant_named_in_the_question_come_first() -> None:
    memory = ScreenMemory()
    for index in range(40):
        name = "Ann" if index % 2 else "Bob"
        memory.add(f"TR_{name}", f"Slide {index} of {name}, with a chart. And more.", 100.0 * index, shared_by=name)
    recalled = memory.recall(4_000.0, 400, "And what else did ann show us?").split("\n")
    assert all('"Ann"' in line for line in recalled[2:]) and len(recalled) > 6
    assert '"Bob"' in "".join(memory.recall(4_000.0, 400, "And what else?").split("\n")[2:])


def test_a_question_about_the_beginning_recalls_the_oldest_entries_after_the_current_one() -> None:
    memory = ScreenMemory()
    for index in range(100):
        memory.add("TR_1", f"Slide number {index} has a chart of a region. And more.", 60.0 * index)
    recalled = memory.recall(6_000.0, 600, "What was on the third slide?").split("\n")
    for line, number in zip(recalled[:4], (99, 0, 1, 2), strict=True):
        assert f"number {number} has" in line
    assert "number 98" in memory.recall(6_000.0, 600, "What was there a second ago?").split("\n")[1]


def test_entries_beyond_the_budget_are_summarised_by_the_minute() -> None:
    memory = ScreenMemory()
    for index in range(60):
        memory.add("TR_1", f"Here stands slide number {index}, in full. And more.", 5.0 * index)
    recalled = recalled_lines(memory, 300.0, 900)
    assert len(recalled) < 20 and "slide number 59" in recalled[0]
    assert "12 pictures from picture 13 on, from 4 min to 3 min ago: Here stands slide number 12" in "\n".join(recalled)
    assert "slide number 23, in full." in "\n".join(recalled) and "slide number 0," in "\n".join(recalled)


def test_recall_keeps_its_token_budget_and_begins_with_the_current_picture() -> None:
    memory = ScreenMemory()
    for index in range(20):
        memory.add("TR_1", f"{LONG} {index}", 10.0 * index)
    for budget_tokens in range(0, 400, 7):
        recalled = memory.recall(200.0, budget_tokens)
        assert tokens_of(recalled) <= budget_tokens
        assert not recalled or "shown now" in recalled.split("\n")[0]
    assert memory.recall(200.0, 30) == "" and memory.recall(200.0, -5) == ""


def test_a_description_beyond_the_budget_is_cut_to_its_first_sentence() -> None:
    memory = ScreenMemory()
    memory.add("TR_1", LONG + " More." * 100, 0.0)
    assert memory.recall(1.0, 60).endswith("with a bar chart.")


def test_edits_of_one_picture_are_summarised_as_one_picture() -> None:
    memory = ScreenMemory()
    for index in range(60):
        memory.add("TR_1", f"Notes on the budget are being written. {LONG} {'x' * index}", 5.0 * index, edited=True)
    recalled = recalled_lines(memory, 300.0, 400)
    assert len(recalled) > 5 and all("picture 1," in line and "pictures" not in line for line in recalled)
