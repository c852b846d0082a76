"""A clock that differs from the backend's by more than a minute is said once, until it is right again."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from structlog.testing import capture_logs

from cluster.backend.clock_check import ClockCheck, seconds_of
from cluster.costs.booking_clock import BookingClock


@pytest.mark.parametrize("ahead_s", [3_600.0, -3_600.0])
def test_a_clock_an_hour_off_is_logged_once_with_its_difference(ahead_s: float) -> None:
    now_s = 1_800_000_000.0
    check = ClockCheck(lambda: now_s + ahead_s)
    with capture_logs() as logs:
        for _ in range(100):
            check.compare(formatdate(now_s, usegmt=True))
    assert [(entry["event"], entry["ahead_s"]) for entry in logs] == [("clock differs from the backend's", ahead_s)]


def test_a_clock_that_is_right_is_not_logged_and_one_that_goes_wrong_again_is() -> None:
    now_s = theirs_s = 1_800_000_000.0
    check = ClockCheck(lambda: now_s)
    with capture_logs() as logs:
        for off_s in (0.0, 30.0, 600.0, 0.0, 600.0):
            now_s = theirs_s + off_s
            check.compare(formatdate(theirs_s, usegmt=True))
    assert [entry["ahead_s"] for entry in logs] == [600, 600]


@pytest.mark.parametrize("date", [None, "", "yesterday", "Mon, 99 Foo 2026 99:99:99 GMT", "0" * 500])
def test_a_response_without_a_date_proves_nothing(date: str | None) -> None:
    assert seconds_of(date) is None
    with capture_logs() as logs:
        ClockCheck(time.time).compare(date)
    assert logs == []


def test_a_clock_behind_the_journal_at_the_start_is_said() -> None:
    with capture_logs() as logs:
        BookingClock(not_before_s=1_800_003_600.0, wall=lambda: 1_800_000_000.0, monotonic=lambda: 0.0)
        BookingClock(not_before_s=1_800_000_001.0, wall=lambda: 1_800_000_000.0, monotonic=lambda: 0.0)
    assert [(entry["event"], entry["behind_s"]) for entry in logs] == [("clock behind the journal", 3_600)]
