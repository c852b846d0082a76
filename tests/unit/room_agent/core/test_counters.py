"""Counters report percentiles of answer times once there are answers."""

from __future__ import annotations

import pytest

from room_agent.core.counters import REMEMBERED_ANSWERS, SILENT_S, Counters, ProcessorTime
from routing.latency import percentile
from tests.support.manual_clock import ManualClock


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 50), (0.95, 95), (1.0, 100)])
def test_a_percentile_is_the_nearest_rank(share: float, value: float) -> None:
    assert percentile([float(n) for n in range(1, 101)], share) == value


def test_a_report_has_answer_times_once_there_are_answers() -> None:
    counters = Counters()
    assert "answer_p50_ms" not in counters.report()
    for took_s in (0.1, 0.2, 0.9):
        counters.answered(took_s)
    assert counters.report()["answer_p50_ms"] == pytest.approx(200) and counters.report()["answers"] == 3


def test_percentiles_cover_the_last_answers_only() -> None:
    counters = Counters()
    counters.answered(60.0)
    for _ in range(REMEMBERED_ANSWERS):
        counters.answered(1.0)
    report = counters.report()
    assert report["answer_p95_ms"] == 1_000 and report["answers"] == REMEMBERED_ANSWERS + 1


def test_rooms_of_one_process_share_its_processor_time() -> None:
    process, clock = ManualClock(4.0), ManualClock(0.0)
    shared = ProcessorTime(process, clock)
    assert shared.since_last("a") == 4.0 and shared.since_last("b") == 0.0
    process.now_s = 6.0
    assert [shared.since_last("a"), shared.since_last("b")] == [1.0, 1.0]
    process.now_s, clock.now_s = 8.0, SILENT_S + 1.0
    assert shared.since_last("a") == 2.0
