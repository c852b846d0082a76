"""Nothing expires before the outboxes have had time to deliver."""

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
    assert gate.stalled(woken_s) and not gate.stalled(1_004.0 + STALL_S)
    assert [gate.tick(woken_s + second) for second in range(5)] == [False, False, False, True, True]
