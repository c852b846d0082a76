"""No attempt that left is taken for one that did not, whatever crashes; a restart alone loses no proof."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.costs.record_coverage import AWAITED_S, RecordCoverage, SavedCoverage

KEPT_S = 40.0


def test_nothing_is_proven_while_no_replica_is_connected() -> None:
    coverage = RecordCoverage.started(1_000.0, None)
    assert coverage.proven_since_s is None
    coverage.connect("a", 1_010.0)
    coverage.connect("b", 1_020.0)
    assert coverage.proven_since_s == 1_010.0
    coverage.disconnect("a", 1_030.0, records_lost=False)
    assert coverage.proven_since_s == 1_010.0
    coverage.disconnect("b", 1_040.0, records_lost=False)
    assert coverage.proven_since_s is None


def test_the_proof_covers_a_time_without_replicas_since_none_can_have_made_a_call() -> None:
    coverage = RecordCoverage.started(1_000.0, None)
    coverage.connect("a", 1_010.0)
    coverage.disconnect("a", 1_020.0, records_lost=False)
    coverage.connect("b", 1_040.0)
    assert coverage.proven_since_s == 1_010.0


@pytest.mark.parametrize(("by", "since_s"), [("b", 1_010.0), ("c", 1_020.0), (None, 1_020.0)])
def test_a_dead_replica_loses_no_proof_in_a_restart_where_a_connected_one_has_taken_over_its_files(
    by: str | None, since_s: float
) -> None:
    coverage = RecordCoverage.started(1_000.0, None)
    coverage.connect("a", 1_010.0)
    coverage.connect("b", 1_011.0)
    coverage.disconnect("a", 1_020.0, records_lost=False)
    assert coverage.saved().since_s == 1_020.0
    coverage.connect("a", 1_025.0)
    coverage.disconnect("a", 1_025.0, records_lost=False, taken_over_by=by)
    assert coverage.saved().since_s == (since_s if by == "b" else 1_025.0)


def test_a_replica_stays_connected_when_its_broken_connection_ends_after_it_has_made_another() -> None:
    coverage = RecordCoverage.started(1_000.0, None)
    coverage.connect("a", 1_010.0)
    coverage.connect("a", 1_020.0)
    coverage.disconnect("a", 1_030.0, records_lost=False)
    assert coverage.proven_since_s == 1_010.0 and coverage.saved().replicas == {"a"}


def test_after_a_restart_the_proof_holds_again_once_every_replica_has_sent_its_records_again() -> None:
    coverage = RecordCoverage.started(1_000.0, SavedCoverage(since_s=900.0, replicas=frozenset("ab")))
    coverage.connect("a", 1_001.0)
    coverage.complete("a", 600.0, 1_001.0)
    coverage.connect("b", 1_002.0)
    assert coverage.proven_since_s is None
    coverage.complete("b", 600.0, 1_002.0)
    assert coverage.proven_since_s == 900.0


@pytest.mark.parametrize("loss", ["b kept less", "b is gone", "a ended before", "records were lost"])
def test_after_a_restart_nothing_is_proven_of_the_time_whose_records_may_be_missing(loss: str) -> None:
    before = RecordCoverage.started(900.0, None)
    for replica_id in "ab" if loss != "a ended before" else "abc":
        before.connect(replica_id, 910.0)
    if loss == "a ended before":
        before.disconnect("c", 950.0, records_lost=False)
    if loss == "records were lost":
        before.lose(950.0)
    coverage = RecordCoverage.started(1_000.0, before.saved())
    for replica_id in "a" if loss == "b is gone" else "ab":
        coverage.connect(replica_id, 1_001.0)
        coverage.complete(replica_id, 51.0 if loss == "b kept less" else 600.0, 1_001.0)
    coverage.give_up(1_001.0 + AWAITED_S)
    assert coverage.proven_since_s == (1_001.0 + AWAITED_S if loss == "b is gone" else 950.0)


def test_a_stall_suspends_the_proof_until_every_connected_replica_has_replied_to_a_later_ping() -> None:
    coverage = RecordCoverage.started(1_000.0, None)
    for replica_id in "ab":
        coverage.connect(replica_id, 1_010.0)
    coverage.stall(1_030.0, 1_040.0)
    coverage.reply("a", coverage.ping)
    coverage.reply("b", coverage.ping - 1)
    assert coverage.proven_since_s is None
    coverage.stall(1_040.0, 1_045.0)
    coverage.reply("b", coverage.ping)
    assert coverage.proven_since_s is None
    coverage.reply("a", coverage.ping)
    assert coverage.proven_since_s == 1_010.0
    assert coverage.saved() == SavedCoverage(since_s=1_010.0, replicas=frozenset("ab"))


@pytest.mark.parametrize("case", ["stalled", "silent"])
def test_a_replica_that_ended_with_unread_records_is_awaited_until_they_come_again(case: str) -> None:
    coverage = RecordCoverage.started(1_000.0, None)
    for replica_id in "ab":
        coverage.connect(replica_id, 1_010.0)
    if case == "stalled":
        coverage.stall(1_030.0, 1_040.0)
        coverage.reply("a", coverage.ping)
    coverage.disconnect("b", 1_041.0, records_lost=case == "silent")
    assert coverage.proven_since_s is None
    coverage.connect("b", 1_042.0)
    coverage.complete("b", 600.0, 1_042.0)
    coverage.disconnect("b", 1_042.0, records_lost=False, taken_over_by="a")
    assert coverage.proven_since_s == 1_010.0
    coverage.disconnect("a", 1_050.0, records_lost=True)
    coverage.connect("c", 1_051.0)
    coverage.give_up(1_051.0 + AWAITED_S)
    assert coverage.proven_since_s == 1_051.0 + AWAITED_S


def test_a_replica_that_lost_one_of_its_two_connections_has_to_reply_on_the_other() -> None:
    coverage = RecordCoverage.started(1_000.0, None)
    coverage.connect("a", 1_010.0)
    coverage.connect("a", 1_020.0)
    coverage.disconnect("a", 1_030.0, records_lost=True)
    assert coverage.proven_since_s is None
    coverage.reply("a", coverage.ping)
    assert coverage.proven_since_s == 1_010.0


def test_dead_replicas_are_awaited_from_the_first_connection_of_a_node_that_starts_slowly() -> None:
    coverage = RecordCoverage.started(1_000.0, SavedCoverage(since_s=900.0, replicas=frozenset("ab")))
    coverage.give_up(1_000.0 + 2 * AWAITED_S)
    coverage.connect("c", 1_000.0 + 3 * AWAITED_S)
    coverage.give_up(1_000.0 + 3 * AWAITED_S + 1.0)
    for dead in "ab":
        coverage.connect(dead, 1_000.0 + 3 * AWAITED_S + 2.0)
        coverage.complete(dead, 600.0, 1_000.0 + 3 * AWAITED_S + 2.0)
        coverage.disconnect(dead, 1_000.0 + 3 * AWAITED_S + 2.0, records_lost=False, taken_over_by="c")
    assert coverage.proven_since_s == 900.0


class Crashes:
    """An aggregator and its model replicas; each step is one of them doing something, or dying."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.disk: SavedCoverage | None = None
        self.coverage: RecordCoverage | None = RecordCoverage.started(self.now_s, None)
        self.received: set[int] = set()
        self.kept: dict[str, dict[int, float]] = {}
        """The records of each replica that lives, by intent, with their times."""
        self.files: dict[str, dict[int, float]] = {}
        """The records of each killed replica that none has taken over."""
        self.connected: set[str] = set()
        self.arrived: list[float] = []
        self.left: dict[int, str] = {}
        """The replica that made the call of each intent."""
        self.replicas = 0
        self.stalled, self.ticked_s = False, 0.0
        self.unread: dict[str, set[int]] = {}
        """The records of each replica that wait in this process's sockets."""

    def step(self, name: str, number: int) -> None:
        self.now_s += 30.0 if name == "wait" else 1.0
        living = sorted(self.kept)
        replica_id = living[number % len(living)] if living else ""
        getattr(self, f"_{name}")(replica_id, number)
        if self.coverage is not None and not self.stalled:
            self.ticked_s = self.now_s
            self.coverage.give_up(self.now_s)
            self.disk = self.coverage.saved()

    def _wait(self, replica_id: str, number: int) -> None:
        for other in sorted(self.kept.keys() - self.connected):
            self._reconnect(other, number)

    def _start(self, replica_id: str, number: int) -> None:
        if self.coverage is not None:
            self.replicas += 1
            self.kept[f"r{self.replicas}"] = {}
            self._reconnect(f"r{self.replicas}", number)

    def _reconnect(self, replica_id: str, number: int) -> None:
        if self.coverage is not None and not self.stalled and replica_id and replica_id not in self.connected:
            self.connected.add(replica_id)
            self.coverage.connect(replica_id, self.now_s)
            self.received |= {intent for intent, at_s in self.kept[replica_id].items() if at_s >= self.now_s - KEPT_S}
            self.coverage.complete(replica_id, KEPT_S, self.now_s)

    def _reserve(self, replica_id: str, number: int) -> None:
        if self.coverage is not None:
            self.arrived.append(self.now_s)

    def _call(self, replica_id: str, number: int) -> None:
        waiting = [intent for intent in range(len(self.arrived)) if intent not in self.left]
        if replica_id and waiting:
            self.left[waiting[-1]] = replica_id
            self.kept[replica_id][waiting[-1]] = self.now_s
            if replica_id in self.connected:
                if self.stalled or replica_id in self.unread:
                    self.unread.setdefault(replica_id, set()).add(waiting[-1])
                else:
                    self.received.add(waiting[-1])

    def _kill(self, replica_id: str, number: int, records_lost: bool = False) -> None:
        kept, unread = self.kept.pop(replica_id, {}), self.unread.pop(replica_id, set())
        if replica_id and not records_lost:
            self.files[replica_id] = kept
            self.received |= unread
        if self.coverage is not None and replica_id in self.connected:
            self.coverage.disconnect(replica_id, self.now_s, records_lost=records_lost)
        self.connected.discard(replica_id)

    def _take_over(self, replica_id: str, number: int) -> None:
        if self.files and replica_id:
            dead, records = self.files.popitem()
            self.kept[replica_id] |= records
            if self.coverage is not None and not self.stalled and replica_id in self.connected:
                self.coverage.connect(dead, self.now_s)
                self.received |= set(self.kept[replica_id])
                self.coverage.complete(dead, KEPT_S, self.now_s)
                self.coverage.disconnect(dead, self.now_s, records_lost=False, taken_over_by=replica_id)

    def _stall(self, replica_id: str, number: int) -> None:
        self.stalled = self.coverage is not None

    def _abort(self, replica_id: str, number: int) -> None:
        """End a connection with all that waits in it, as a kernel does that got no answer for long."""
        if self.coverage is not None and self.stalled and replica_id in self.connected:
            self.connected.discard(replica_id)
            self.unread.pop(replica_id, None)
            self.coverage.disconnect(replica_id, self.now_s, records_lost=False)

    def _resume(self, replica_id: str, number: int) -> None:
        if self.coverage is not None and self.stalled:
            self.stalled = False
            self.coverage.stall(self.ticked_s, self.now_s)

    def _read(self, replica_id: str, number: int) -> None:
        """Read all that a replica wrote, and its reply to the newest ping."""
        if self.coverage is not None and not self.stalled and replica_id in self.connected:
            self.received |= self.unread.pop(replica_id, set())
            self.coverage.reply(replica_id, self.coverage.ping)

    def _cut_off(self, replica_id: str, number: int) -> None:
        before = set(self.received)
        self._call(replica_id, number)
        self.received = before
        self._kill(replica_id, number, records_lost=True)

    def _crash(self, replica_id: str, number: int) -> None:
        self.coverage, self.stalled = None, False
        self.received, self.connected, self.unread = set(), set(), {}

    def _restart(self, replica_id: str, number: int) -> None:
        if self.coverage is None:
            self.coverage = RecordCoverage.started(self.now_s, self.disk)

    def wrongly_free(self) -> list[int]:
        """Return the intents that left by a replica that is dead, and that would be settled as never left."""
        since_s = None if self.coverage is None or self.stalled else self.coverage.proven_since_s
        if since_s is None:
            return []
        missing = [intent for intent, by in self.left.items() if by not in self.kept and intent not in self.received]
        return [intent for intent in missing if self.arrived[intent] >= since_s]


FAULTS = ("kill", "cut_off", "crash", "stall")
STEPS = (
    "start",
    "reserve",
    "reserve",
    "call",
    "call",
    *FAULTS,
    "take_over",
    "restart",
    "reconnect",
    "wait",
    "resume",
    "read",
    "abort",
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 3)), max_size=40))
def test_no_order_of_crashes_makes_an_attempt_free_whose_record_died_with_its_replica(
    steps: Sequence[tuple[str, int]],
) -> None:
    crashes = Crashes()
    for name, number in steps:
        crashes.step(name, number)
        assert crashes.wrongly_free() == [], name
