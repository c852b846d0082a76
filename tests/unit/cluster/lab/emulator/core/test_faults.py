"""Faults apply to their vendor and model, in order, and only as often as planned."""

from __future__ import annotations

import random

import pytest

from cluster.lab.emulator.core.faults import MAX_PLANNED, Fault, Faults
from routing.errors import TooLarge


def test_a_request_takes_the_oldest_matching_fault() -> None:
    faults = Faults()
    faults.plan(Fault(status=503), vendor="openai", model="gpt-4o")
    faults.plan(Fault(status=500), vendor="openai")
    faults.append(Fault(status=429))
    statuses = [faults.take(*target).status for target in (("openai", "other"), ("gemini", "x"), ("openai", "gpt-4o"))]
    assert statuses == [500, 429, 503] and len(faults) == 0


def test_a_fault_is_used_as_often_as_it_is_planned() -> None:
    faults = Faults()
    faults.plan(Fault(status=503), times=3)
    assert [faults.take("openai", "m").status for _ in range(4)] == [503, 503, 503, None]


def test_a_cleared_fault_is_not_injected() -> None:
    faults = Faults()
    faults.plan(Fault(status=503), times=3)
    faults.clear()
    assert faults.take("openai", "m") == Fault()


def test_more_planned_faults_than_the_limit_are_rejected() -> None:
    faults = Faults()
    for _ in range(MAX_PLANNED):
        faults.append(Fault())
    with pytest.raises(TooLarge):
        faults.append(Fault())


def test_a_fault_with_a_share_applies_to_that_share_of_the_requests() -> None:
    faults = Faults(random.Random(3))
    faults.plan(Fault(status=503), vendor="openai", times=1_000, share=0.25)
    failed = sum(faults.take("openai", "m").status == 503 for _ in range(1_000))
    assert 200 < failed < 300 and len(faults) == 1_000 - failed
