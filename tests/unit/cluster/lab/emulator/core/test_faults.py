"""Planned faults meet their vendor and model, in order, and no more often than planned."""

from __future__ import annotations

import random

import pytest

from cluster.lab.emulator.core.faults import MAX_PLANNED, Fault, Faults
from routing.errors import TooLarge


def test_a_request_takes_the_oldest_fault_planned_for_it() -> None:
    faults = Faults()
    faults.plan(Fault(status=503), vendor="openai", model="gpt-4o")
    faults.plan(Fault(status=500), vendor="openai")
    faults.append(Fault(status=429))
    taken = [faults.take(*whom).status for whom in (("openai", "other"), ("gemini", "x"), ("openai", "gpt-4o"))]
    assert taken == [500, 429, 503] and len(faults) == 0


def test_a_fault_planned_often_is_used_so_often() -> None:
    faults = Faults()
    faults.plan(Fault(status=503), times=3)
    assert [faults.take("openai", "m").status for _ in range(4)] == [503, 503, 503, None]


def test_what_is_cleared_does_not_happen() -> None:
    faults = Faults()
    faults.plan(Fault(status=503), times=3)
    faults.clear()
    assert faults.take("openai", "m") == Fault()


def test_more_than_is_sane_is_refused() -> None:
    faults = Faults()
    for _ in range(MAX_PLANNED):
        faults.append(Fault())
    with pytest.raises(TooLarge):
        faults.append(Fault())


def test_a_fault_with_a_share_meets_that_part_of_the_requests() -> None:
    faults = Faults(random.Random(3))
    faults.plan(Fault(status=503), vendor="openai", times=1_000, share=0.25)
    met = sum(faults.take("openai", "m").status == 503 for _ in range(1_000))
    assert 200 < met < 300 and len(faults) == 1_000 - met
