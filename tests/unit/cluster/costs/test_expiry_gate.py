"""Nothing expires before the outboxes have had time to deliver, and lost call records free no attempt."""

from __future__ import annotations

import pytest

from cluster.costs.expiry_gate import STALL_S, ExpiryGate


@pytest.fixture
def gate() -> ExpiryGate:
    return ExpiryGate.started(1_000.0, grace_s=3.0)


def test_nothing_expires_within_the_grace_after_a_start(gate: ExpiryGate) -> None:
    assert [gate.tick(1_000.0 + second) for second in range(1, 5)] == [False, False, True, True]


def test_a_stall_begins_the_grace_anew(gate: ExpiryGate) -> None:
    assert gate.tick(1_004.0)
    woken_s = 1_004.0 + STALL_S + 90.0
    assert [gate.tick(woken_s + second) for second in range(5)] == [False, False, False, True, True]
    assert gate.unbroken_since_s == woken_s


def test_no_record_can_be_trusted_to_be_missing_while_no_replica_is_connected(gate: ExpiryGate) -> None:
    assert gate.witnessed_since_s is None
    gate.replica_connected(1_010.0)
    gate.replica_connected(1_020.0)
    assert gate.witnessed_since_s == 1_010.0
    gate.replica_disconnected(1_030.0, records_lost=False)
    assert gate.witnessed_since_s == 1_010.0
    gate.replica_disconnected(1_040.0, records_lost=False)
    assert gate.witnessed_since_s is None


def test_an_unreachable_replica_breaks_the_record_but_not_the_expiry(gate: ExpiryGate) -> None:
    assert gate.tick(1_004.0)
    for _ in range(2):
        gate.replica_connected(1_004.0)
    gate.replica_disconnected(1_005.0, records_lost=True)
    assert gate.witnessed_since_s == 1_005.0 and gate.tick(1_006.0)
