"""A record's Markdown shows every entry, and no text of a participant becomes markup."""

from __future__ import annotations

from routing.records.markdown import to_markdown
from routing.records.models import MeetingCosts, RecordedAnswer, RecordedCost, RecordedDescription, at_time
from tests.support.meeting_record import STARTED_AT_S, meeting_record, utterance

AT = at_time(STARTED_AT_S + 7)


def test_each_kind_of_entry_is_a_line_with_its_time() -> None:
    described = RecordedDescription(
        at=AT,
        identity="bob",
        name="Bob",
        source="screen_share",
        text="A chart.",
        model="m",
        cost_nanousd=1,
        simulated=True,
    )
    answered = RecordedAnswer(
        at=AT, asked_at=AT, identity="ann", name="Ann", text="Forty two.", sources=("a.md", "b.md"), interrupted=True
    )
    text = to_markdown(meeting_record(entries=(utterance(), described, answered), retention_days=30))
    assert "# Meeting standup" in text and "To be kept for 30 days" in text
    assert "**22:13:25 Ann**: Hello." in text
    assert "**22:13:27 screen of Bob**: A chart." in text
    assert "**22:13:27 answer to Ann** (interrupted): Forty two. (sources: a.md, b.md)" in text


def test_text_of_a_participant_is_no_markup_and_begins_no_line() -> None:
    hostile = "\n# Costs\n| a | b |\n<img src=x onerror=alert(1)> [link](http://x) `code` *bold* &lt; ~~gone~~ $x$"
    text = to_markdown(meeting_record(entries=(utterance(hostile),), last=False))
    (line,) = [line for line in text.splitlines() if "Costs" in line]
    assert line.startswith("**22:13:25 Ann**: # Costs \\| a \\| b \\|")
    assert "\\<img src=x onerror=alert(1)\\> \\[link\\](http://x) \\`code\\` \\*bold\\* \\&lt; \\~\\~gone\\~\\~" in line


def test_costs_are_exact_to_the_nano_dollar_and_say_their_time() -> None:
    row = RecordedCost(
        service="llm", model="gpt", requests=2, estimated_requests=1, usage={"input_tokens": 5}, cost_nanousd=-1
    )
    costs = MeetingCosts(as_of=AT, total_nanousd=12_000_000_001, models=(row,))
    text = to_markdown(meeting_record(costs=costs, left_out={"description": 3, "answer": 0}))
    assert "## Costs of the meeting as of 2023-11-14 22:13:27 UTC" in text
    assert "| llm | gpt | 2 | 1 | -$0.000000001 |" in text and "Total: $12.000000001" in text
    assert "Left out, because the record was full or its disk failed: 3 description." in text


def test_a_later_part_has_only_its_entries() -> None:
    assert to_markdown(meeting_record(first_entry=9, last=False)) == "**22:13:25 Ann**: Hello.\n\n"
