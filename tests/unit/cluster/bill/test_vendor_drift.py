"""The journal and a vendor's report are compared by the day of the call, the model and each measure they share."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from cluster.bill.vendor_drift import JOURNAL_KEY, compare_vendor
from cluster.bill.vendor_exports.models import ANSWERS, EVERY_SERVICE, ModelNames
from cluster.bill.vendor_exports.registry import VendorReport
from cluster.costs.journal_reader import EventSum, sum_events
from routing.models import Service
from tests.support.cost_history import write_history
from tests.support.vendor_exports import day

OCTOBER_5, NOVEMBER_9 = day("2026-10-05"), day("2026-11-09")
SOL = "gpt-6.1-sol"
NAMES = ModelNames({SOL: SOL, "nova-3": "nova-3", "nova-3-multi": "nova-3"})


def report(
    amounts: dict[tuple[int, str], dict[str, int]], services: frozenset[Service] = EVERY_SERVICE
) -> VendorReport:
    covered = {measure: set(services) for sums in amounts.values() for measure in sums}
    return VendorReport(amounts, covered)


def event_sum(
    day: int, vendor: str, service: str, model: str, cost: int = 0, simulated: int = 0, **usage: int
) -> EventSum:
    key = (day, vendor, service, model, simulated)
    return EventSum(key=key, requests=1, estimated_requests=0, cost_nanousd=cost, usage=usage)


@pytest.fixture
def journal(tmp_path: Path) -> list[EventSum]:
    write_history(tmp_path / "journal.db")
    return sum_events(tmp_path / "journal.db", JOURNAL_KEY)


def test_a_correction_counts_on_the_day_of_the_call_it_corrects(journal: list[EventSum]) -> None:
    vendor = {(OCTOBER_5, SOL): {"output_tokens": 25, "cost_nanousd": 1_200}}
    vendor |= {(NOVEMBER_9, SOL): {"output_tokens": 20, "cost_nanousd": 71}}
    rows = compare_vendor("openai", journal, report(vendor), NAMES)
    assert [(row.day, row.measure, row.journal, row.reported, row.within) for row in rows] == [
        ("2026-10-05", "output_tokens", 25, 25, True),
        ("2026-10-05", "cost_nanousd", 1_200, 1_200, True),
        ("2026-11-09", "output_tokens", 20, 20, True),
        ("2026-11-09", "cost_nanousd", 70, 71, False),
    ]
    assert rows[-1].difference == -1


def test_a_model_that_one_side_lacks_differs_on_each_day_of_the_report(journal: list[EventSum]) -> None:
    vendor = {(OCTOBER_5, "gpt-4o"): {"output_tokens": 5}, (NOVEMBER_9, SOL): {"output_tokens": 20}}
    rows = compare_vendor("openai", journal, report(vendor), NAMES)
    found = {(row.day, row.model): (row.journal, row.reported) for row in rows if not row.within}
    assert found == {("2026-10-05", "gpt-4o"): (0, 5), ("2026-10-05", SOL): (25, 0)}


def test_days_outside_the_report_or_the_given_time_are_not_compared(journal: list[EventSum]) -> None:
    only_november = report({(NOVEMBER_9, SOL): {"output_tokens": 20}})
    assert [row.day for row in compare_vendor("openai", journal, only_november, NAMES)] == ["2026-11-09"]
    both = report({(OCTOBER_5, SOL): {"output_tokens": 1}, (NOVEMBER_9, SOL): {"output_tokens": 20}})
    days = (OCTOBER_5 + 1, NOVEMBER_9 + 1)
    assert [row.day for row in compare_vendor("openai", journal, both, NAMES, days=days)] == ["2026-11-09"]
    assert compare_vendor("openai", journal, report({}), NAMES) == []


def test_services_that_a_report_does_not_cover_and_simulated_usage_are_left_out() -> None:
    sums = [
        event_sum(1, "openai", "llm", SOL, input_tokens=7),
        event_sum(1, "openai", "embeddings", SOL, input_tokens=100),
        event_sum(1, "openai", "llm", SOL, simulated=1, input_tokens=1_000),
        event_sum(1, "anthropic", "llm", SOL, input_tokens=10_000),
    ]
    (row,) = compare_vendor("openai", sums, report({(1, SOL): {"input_tokens": 7}}, ANSWERS), NAMES)
    assert row.within and row.journal == 7


def test_models_that_share_a_name_at_the_vendor_are_one_row() -> None:
    sums = [event_sum(1, "deepgram", "stt", name, audio_ms=30) for name in ("nova-3", "nova-3-multi")]
    (row,) = compare_vendor("deepgram", sums, report({(1, "nova-3"): {"audio_ms": 60, "characters": 0}}), NAMES)
    assert row.within and (row.measure, row.journal) == ("audio_ms", 60)


@pytest.mark.parametrize(("percent", "within"), [("0", False), ("0.99", False), ("1", True), ("100", True)])
def test_a_difference_of_the_tolerance_is_within_it(percent: str, within: bool) -> None:
    sums = [event_sum(1, "openai", "llm", SOL, input_tokens=99)]
    vendor = report({(1, SOL): {"input_tokens": 100}})
    (row,) = compare_vendor("openai", sums, vendor, NAMES, Decimal(percent))
    assert row.within is within
