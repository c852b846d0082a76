"""The emulator's journal: the newest lines, each corrected as its request goes on."""

from __future__ import annotations

from cluster.lab.emulator.core.request_log import LoggedRequest, RequestLog


def seen(model: str) -> LoggedRequest:
    return LoggedRequest(path="/openai/v1/chat/completions", vendor="openai", model=model)


def test_a_line_is_corrected_by_its_number() -> None:
    journal = RequestLog()
    numbers = [journal.open(seen(model)) for model in ("a", "b")]
    journal.change(numbers[0], status=200, prompt_tokens=5)
    assert [(line.model, line.status, line.prompt_tokens) for line in journal] == [("a", 200, 5), ("b", 0, 0)]
    assert journal[-1].model == "b" and len(journal) == 2


def test_the_oldest_lines_are_forgotten_and_stay_so() -> None:
    journal = RequestLog(max_entries=2)
    numbers = [journal.open(seen(model)) for model in "abc"]
    journal.change(numbers[0], status=200)
    assert [line.model for line in journal] == ["b", "c"] and journal.line(numbers[0]) is None


def test_a_request_that_outlives_its_line_writes_no_other() -> None:
    journal = RequestLog()
    number = journal.open(seen("a"))
    journal.clear()
    journal.open(seen("b"))
    journal.change(number, status=200)
    assert [(line.model, line.status) for line in journal] == [("b", 0)]
