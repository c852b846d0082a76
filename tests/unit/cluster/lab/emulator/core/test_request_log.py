"""The request log keeps the newest entries and updates them while their requests run."""

from __future__ import annotations

from cluster.lab.emulator.core.request_log import LoggedRequest, RequestLog


def logged_request(model: str) -> LoggedRequest:
    return LoggedRequest(path="/openai/v1/chat/completions", vendor="openai", model=model)


def test_an_entry_is_updated_by_its_number() -> None:
    journal = RequestLog()
    numbers = [journal.open(logged_request(model)) for model in ("a", "b")]
    journal.change(numbers[0], status=200, prompt_tokens=5)
    assert [(line.model, line.status, line.prompt_tokens) for line in journal] == [("a", 200, 5), ("b", 0, 0)]
    assert journal[-1].model == "b" and len(journal) == 2


def test_the_oldest_entries_are_evicted_and_not_updated() -> None:
    journal = RequestLog(max_entries=2)
    numbers = [journal.open(logged_request(model)) for model in "abc"]
    journal.change(numbers[0], status=200)
    assert [line.model for line in journal] == ["b", "c"] and journal.line(numbers[0]) is None


def test_an_update_of_a_cleared_entry_changes_no_other() -> None:
    journal = RequestLog()
    number = journal.open(logged_request("a"))
    journal.clear()
    journal.open(logged_request("b"))
    journal.change(number, status=200)
    assert [(line.model, line.status) for line in journal] == [("b", 0)]
