"""Fields that were left out are reported once an hour, in bounded numbers, and again after a failure."""

from __future__ import annotations

import asyncio
from typing import Any

from cluster.backend import refused_fields as module
from cluster.backend.refused_fields import EVERY_S, MAX_REMEMBERED, MAX_SENDING, RefusedFieldReports, report_input
from routing.errors import BackendUnavailable
from routing.models import RefusedField
from tests.support.manual_clock import ManualClock

WRONG = (RefusedField(name="voice", problem="Extra inputs are not permitted"),)


class ReceivedReports:
    """The backend's side: every report, and the errors that it answers first."""

    def __init__(self, failures: int = 0) -> None:
        self.reports: list[dict[str, Any]] = []
        self.failures = failures
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def send(self, value: dict[str, Any]) -> None:
        await self.may_answer.wait()
        if self.failures:
            self.failures -= 1
            raise BackendUnavailable
        self.reports.append(value)


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_the_same_fields_are_reported_once_an_hour_and_other_ones_at_once() -> None:
    received, clock = ReceivedReports(), ManualClock(0.0)
    reports = RefusedFieldReports(received.send, clock)
    for _ in range(5):
        reports.report("acme", "record", WRONG)
        await settle()
    reports.report("acme", "metadata", WRONG)
    reports.report("globex", "record", WRONG)
    await settle()
    assert [(one["tenantId"], one["source"]) for one in received.reports] == [
        ("acme", "record"),
        ("acme", "metadata"),
        ("globex", "record"),
    ]
    assert received.reports[0]["fields"] == [{"field": "voice", "problem": "Extra inputs are not permitted"}]
    clock.now_s = EVERY_S + 1
    reports.report("acme", "record", WRONG)
    await settle()
    assert len(received.reports) == 4 and len({one["reportId"] for one in received.reports}) == 3


async def test_a_failed_report_is_sent_with_the_next_reading() -> None:
    received = ReceivedReports(failures=1)
    reports = RefusedFieldReports(received.send, ManualClock(0.0))
    for _ in range(3):
        reports.report("acme", "record", WRONG)
        await settle()
    assert len(received.reports) == 1


async def test_a_flood_is_bounded_in_tasks_and_in_memory() -> None:
    received = ReceivedReports()
    reports = RefusedFieldReports(received.send, ManualClock(0.0))
    received.may_answer.clear()
    for number in range(100):
        reports.report(f"tenant-{number}", "record", WRONG)
    assert reports.dropped == 100 - MAX_SENDING
    received.may_answer.set()
    await settle()
    assert len(received.reports) == MAX_SENDING and reports._reported.maxsize == MAX_REMEMBERED


def test_the_id_is_of_the_content_alone() -> None:
    assert report_input("acme", "record", WRONG) == report_input("acme", "record", WRONG)
    assert module.REPORT_REFUSED == "tenants.reportRefused"
