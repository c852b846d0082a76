"""Each threshold of a budget is announced once, whatever restarts and failures come between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from cluster.aggregator.alert_sender import FAILURES_A_ROUND, GIVEN_UP_AFTER_S, LONGEST_RETRY_S, AlertSender
from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from routing.errors import BackendUnavailable
from tests.support.cost_entries import intent, settlement, spend
from tests.support.manual_clock import ManualClock

THRESHOLDS = (0.5, 0.8, 1.0)
BUDGET = {"budget_nanousd": 1_000}


@dataclass
class Receiver:
    """A webhook that keeps the messages that it accepts, by id; it fails on demand."""

    accepted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    fails: bool = False
    tries: int = 0

    async def deliver(self, message_id: str, message: dict[str, Any], now_s: float) -> None:
        self.tries += 1
        if self.fails:
            raise BackendUnavailable("The webhook answered 500.")
        self.accepted.append((message_id, message["data"]))

    def thresholds(self) -> list[float]:
        return [data["threshold"] for _, data in self.accepted]


class Aggregator:
    """A journal's commit log and alert sender, which can be restarted."""

    def __init__(self, path: Path, clock: ManualClock, receiver: Receiver | None) -> None:
        self.path, self.clock, self.receiver = path, clock, receiver
        self.start()

    def start(self) -> None:
        self.journal = Journal(self.path)
        self.commit_log = CommitLog(self.journal, self.clock, alert_thresholds=THRESHOLDS)
        self.sender = AlertSender(self.commit_log, self.journal, self.receiver, self.clock, lambda: 0.0)

    async def restart(self) -> None:
        await self.commit_log.aclose()
        self.start()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(120.0)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
async def aggregator(tmp_path: Path, clock: ManualClock, receiver: Receiver) -> AsyncIterator[Aggregator]:
    aggregator = Aggregator(tmp_path / "journal.db", clock, receiver)
    yield aggregator
    await aggregator.commit_log.aclose()


async def test_each_threshold_is_announced_once_a_period(
    aggregator: Aggregator, receiver: Receiver, clock: ManualClock
) -> None:
    for number in range(6):
        await spend(aggregator.commit_log, f"e{number}", 100, estimate_nanousd=100, **BUDGET)
        await aggregator.sender.send_due()
    assert receiver.thresholds() == [0.5]
    (message_id, data) = receiver.accepted[0]
    assert data == {
        "id": message_id,
        "tenantId": "acme",
        "budget": "monthly",
        "period": "1970-01",
        "threshold": 0.5,
        "spentNanousd": "500",
        "limitNanousd": "1000",
    }
    clock.now_s += 32 * 86_400
    await spend(aggregator.commit_log, "next month", 900, estimate_nanousd=900, **BUDGET)
    await aggregator.sender.send_due()
    assert receiver.thresholds() == [0.5, 0.5, 0.8] and len({id_ for id_, _ in receiver.accepted}) == 3


async def test_a_days_and_a_months_budget_are_announced_apart(aggregator: Aggregator, receiver: Receiver) -> None:
    await spend(aggregator.commit_log, "e1", 600, **BUDGET, daily_budget_nanousd=2_000, room_budget_nanousd=1_000)
    await spend(aggregator.commit_log, "e2", 1, estimate_nanousd=1, **BUDGET, daily_budget_nanousd=1_200)
    await aggregator.sender.send_due()
    assert {(data["budget"], data["period"]) for _, data in receiver.accepted} == {
        ("monthly", "1970-01"),
        ("daily", "1970-01-01"),
    }


async def test_a_restart_neither_loses_nor_repeats_an_alert(aggregator: Aggregator, receiver: Receiver) -> None:
    receiver.fails = True
    await spend(aggregator.commit_log, "e1", 600, **BUDGET)
    await aggregator.sender.send_due()
    await aggregator.restart()
    receiver.fails, aggregator.clock.now_s = False, aggregator.clock.now_s + LONGEST_RETRY_S
    await aggregator.sender.send_due()
    await aggregator.restart()
    await spend(aggregator.commit_log, "e2", 1, estimate_nanousd=1, **BUDGET)
    await aggregator.sender.send_due()
    assert receiver.thresholds() == [0.5]


async def test_a_failed_delivery_is_tried_again_later_each_time_and_under_its_id(
    aggregator: Aggregator, receiver: Receiver, clock: ManualClock
) -> None:
    receiver.fails = True
    await spend(aggregator.commit_log, "e1", 600, **BUDGET)
    tried_at_s = []
    for _ in range(60):
        before = receiver.tries
        await aggregator.sender.send_due()
        if receiver.tries > before:
            tried_at_s.append(clock.now_s - 120.0)
        clock.now_s += 5.0
    assert tried_at_s == [0.0, 5.0, 15.0, 35.0, 75.0, 155.0]
    assert await aggregator.sender.unsent() == 1


async def test_an_alert_is_given_up_after_days_with_an_error(
    aggregator: Aggregator, receiver: Receiver, clock: ManualClock
) -> None:
    receiver.fails = True
    await spend(aggregator.commit_log, "e1", 600, **BUDGET)
    clock.now_s += GIVEN_UP_AFTER_S
    with capture_logs() as logs:
        await aggregator.sender.send_due()
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["budget alert given up"]
    assert (await aggregator.sender.unsent(), aggregator.sender.given_up) == (0, 1)


async def test_a_round_ends_while_the_webhook_is_down(aggregator: Aggregator, receiver: Receiver) -> None:
    receiver.fails = True
    for number in range(FAILURES_A_ROUND + 2):
        await spend(aggregator.commit_log, f"e{number}", 600, tenant_id=f"t{number}", **BUDGET)
    await aggregator.sender.send_due()
    assert receiver.tries == FAILURES_A_ROUND


async def test_a_refusal_at_the_cap_counts_as_a_spent_budget(aggregator: Aggregator, receiver: Receiver) -> None:
    await spend(aggregator.commit_log, "e1", 949, estimate_nanousd=949, **BUDGET)
    await aggregator.commit_log.write([intent("e2", estimate_nanousd=500, **BUDGET)])
    await aggregator.sender.send_due()
    assert receiver.thresholds() == [0.5, 0.8]
    await spend(aggregator.commit_log, "e3", 1, estimate_nanousd=1, **BUDGET)
    await aggregator.commit_log.write([intent("e4", estimate_nanousd=500, **BUDGET)])
    await aggregator.sender.send_due()
    assert receiver.thresholds() == [0.5, 0.8, 1.0]


async def test_speech_raises_the_alerts_of_the_budgets_that_the_last_request_had(
    aggregator: Aggregator, receiver: Receiver
) -> None:
    await spend(aggregator.commit_log, "e1", 1, estimate_nanousd=1, **BUDGET)
    await aggregator.commit_log.write([intent("speech", estimate_nanousd=700), settlement("speech", 700)])
    await aggregator.sender.send_due()
    assert receiver.thresholds() == [0.5]


async def test_without_a_webhook_an_alert_is_a_line_of_the_log(tmp_path: Path, clock: ManualClock) -> None:
    aggregator = Aggregator(tmp_path / "journal.db", clock, None)
    await spend(aggregator.commit_log, "e1", 600, **BUDGET)
    with capture_logs() as logs:
        await aggregator.sender.send_due()
        await aggregator.sender.send_due()
    (line,) = [entry for entry in logs if entry["event"] == "budget threshold reached"]
    assert (line["tenant_id"], line["threshold"]) == ("acme", 0.5)
    await aggregator.commit_log.aclose()
