"""The overload run names each goal that was missed."""

from __future__ import annotations

from dataclasses import replace

from tests.soak.overload import Outcomes, OverloadResult

GOOD = OverloadResult(
    capacity_per_s=18.0,
    base=Outcomes(accepted_s=[0.8] * 50),
    flood=Outcomes(accepted_s=[0.9] * 50, refused_s=[0.02] * 100),
    heartbeats=Outcomes(accepted_s=[0.01] * 50),
    recovered_after_s=1.0,
)


def test_a_run_that_holds_every_goal_has_no_problem() -> None:
    assert GOOD.problems() == []


def test_each_missed_goal_is_named() -> None:
    runs = {
        "no overload": replace(GOOD, flood=Outcomes(accepted_s=[0.9])),
        "of refusals": replace(GOOD, flood=Outcomes(accepted_s=[0.9], refused_s=[5.0])),
        "as slow": replace(GOOD, flood=Outcomes(accepted_s=[3.0], refused_s=[0.1])),
        "failed otherwise": replace(GOOD, flood=Outcomes(accepted_s=[0.9], refused_s=[0.1], failed=1)),
        "heartbeats": replace(GOOD, heartbeats=Outcomes(accepted_s=[0.1], refused_s=[0.1])),
        "went on after": replace(GOOD, recovered_after_s=45.0),
    }
    for words, run in runs.items():
        (problem,) = run.problems()
        assert words in problem
