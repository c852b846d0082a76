"""The answer to a window decides its next step: done, another try later, or parked."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import replace

import pytest

from cluster.costs.row_answers import (
    FIRST_WAIT_S,
    LONGEST_WAIT_S,
    AnswerKind,
    DueRow,
    RowAnswer,
    RowStep,
    next_call,
    next_step,
)
from tests.support.cost_entries import flush_row

PARK_AFTER_S = 3_600.0


def due(**changes: object) -> DueRow:
    return replace(DueRow(row=flush_row(), first_send=False), **changes)  # type: ignore[arg-type]


def step(
    kind: AnswerKind, one: DueRow, call_rows: int = 1, now_s: float = 0.0, retry_after_s: float | None = None
) -> RowStep:
    answer = RowAnswer(kind=kind, reason="CODE", retry_after_s=retry_after_s)
    return next_step(one, answer, call_rows, now_s, PARK_AFTER_S, random.Random(1))


@pytest.mark.parametrize(
    ("kind", "first_send", "alarm"),
    [
        ("inserted", True, False),
        ("stored", True, False),
        ("duplicate", False, False),
        ("duplicate", True, True),
    ],
)
def test_only_a_duplicate_on_the_first_send_is_an_alarm(kind: AnswerKind, first_send: bool, alarm: bool) -> None:
    stored = step(kind, due(first_send=first_send))
    assert (stored.kind, stored.alarm) == ("stored", alarm)


def test_a_window_that_is_refused_in_a_shared_call_is_tried_alone_at_once() -> None:
    alone = step("refused", due(), call_rows=2, now_s=50.0)
    assert (alone.kind, alone.next_try_s, alone.due.alone, alone.due.refusals) == ("wait", 50.0, True, 0)


def test_a_window_is_parked_at_a_second_refusal_and_not_before_the_configured_time() -> None:
    first = step("refused", due(alone=True), now_s=100.0)
    early = step("refused", first.due, now_s=100.0 + PARK_AFTER_S - 1)
    late = step("refused", first.due, now_s=100.0 + PARK_AFTER_S)
    assert (first.kind, early.kind, late.kind, late.reason) == ("wait", "wait", "park", "CODE")
    assert first.due.refused_since_s == early.due.refused_since_s == 100.0


def test_a_window_is_never_parked_for_an_answer_of_later() -> None:
    once_refused = due(alone=True, tries=50, refusals=5, refused_since_s=0.0)
    assert step("later", once_refused, now_s=10 * PARK_AFTER_S).kind == "wait"


def test_a_window_waits_longer_each_time_up_to_a_limit() -> None:
    waits_s = [step("later", due(tries=tries)).next_try_s for tries in range(12)]
    assert all(FIRST_WAIT_S / 2 <= wait_s <= LONGEST_WAIT_S for wait_s in waits_s)
    assert waits_s[0] <= FIRST_WAIT_S < waits_s[3] and waits_s[-1] >= LONGEST_WAIT_S / 2


def test_a_window_waits_as_long_as_the_backend_requests() -> None:
    assert step("later", due(), retry_after_s=99.0).next_try_s == 99.0


def test_a_window_that_goes_alone_shares_no_call() -> None:
    waiting = deque([due(), due(), due(alone=True), due(alone=True), due()])
    assert [len(next_call(waiting, 3)) for _ in range(4)] == [2, 1, 1, 1] and not waiting
