"""The models a request goes to, and the reasons."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import replace

import pytest

from routing.catalogue import load_catalogue
from routing.complexity import Complexity
from routing.errors import BadInput, RateLimited, RetiredModel, UnknownModel
from routing.models import Tenant, Tier
from routing.policy import ServiceRoutes, TenantStanding, choose
from routing.ratelimit import TenantLimits
from routing.retry import Deadline
from routing.share import ShareControl, ShareTarget

CATALOGUE = load_catalogue()
ROUTES = ServiceRoutes(
    targets={Tier.SIMPLE: ("gpt-6-luna", "gemini-3.5-flash-lite"), Tier.COMPLEX: ("gpt-6.1-sol",)},
    threshold=0.5,
    attempts=2,
)


def control() -> ShareControl:
    return ShareControl(ShareTarget(service="llm", share=0.3), random.Random(7))


EASY, HARD = Complexity(0.2, ()), Complexity(0.5, ("code",))


def test_a_score_at_the_threshold_goes_to_the_complex_tier() -> None:
    assert choose("auto", EASY, ROUTES, "llm", CATALOGUE).tier is Tier.SIMPLE
    decision = choose("auto", HARD, ROUTES, "llm", CATALOGUE)
    assert (decision.tier, decision.targets, decision.reasons) == (Tier.COMPLEX, ("gpt-6.1-sol",), ("code",))


def test_a_tier_asked_for_by_name_wins_over_the_score() -> None:
    decision = choose("simple", HARD, ROUTES, "llm", CATALOGUE)
    assert (decision.tier, decision.reasons) == (Tier.SIMPLE, ("explicit tier",))


def test_a_model_asked_for_by_name_is_tried_alone() -> None:
    decision = choose("claude-sonnet-5-5", EASY, ROUTES, "llm", CATALOGUE)
    assert (decision.tier, decision.targets) == (Tier.COMPLEX, ("claude-sonnet-5-5",))


def test_a_model_that_is_not_there_or_does_something_else_is_refused() -> None:
    with pytest.raises(UnknownModel):
        choose("gpt-9", EASY, ROUTES, "llm", CATALOGUE)
    with pytest.raises(BadInput, match="does not answer llm requests"):
        choose("nova-3", EASY, ROUTES, "llm", CATALOGUE)


def test_a_share_decides_in_place_of_the_fixed_threshold() -> None:
    share = control()
    decisions = [choose("auto", Complexity(0.2, ("x",)), ROUTES, "llm", CATALOGUE, share=share) for _ in range(300)]
    complex_ones = [one for one in decisions if one.tier is Tier.COMPLEX]
    assert 60 <= len(complex_ones) <= 90
    assert all(one.score >= one.threshold and one.targets == ("gpt-6.1-sol",) for one in complex_ones)
    assert all(one.reasons == ("x",) for one in decisions)


def test_a_burst_that_is_spent_is_a_reason() -> None:
    share = ShareControl(ShareTarget(service="llm", share=0.1, burst=1.0), random.Random(1))
    choose("auto", HARD, ROUTES, "llm", CATALOGUE, share=share)
    decision = choose("auto", Complexity(0.9, ("code",)), ROUTES, "llm", CATALOGUE, share=share)
    assert (decision.tier, decision.reasons) == (Tier.SIMPLE, ("code", "share spent"))


@pytest.mark.parametrize(
    ("wanted", "standing", "tier", "reason"),
    [
        ("auto", TenantStanding(plan="free"), Tier.SIMPLE, "plan"),
        ("auto", TenantStanding(plan="gold"), Tier.COMPLEX, "plan"),
        ("complex", TenantStanding(plan="free"), Tier.COMPLEX, "explicit tier"),
        ("auto", TenantStanding(plan="gold", budget_used=0.95), Tier.SIMPLE, "budget nearly spent"),
        ("complex", TenantStanding(plan="pro", budget_used=1.0), Tier.SIMPLE, "budget nearly spent"),
        ("gpt-6.1-sol", TenantStanding(plan="free", budget_used=1.0), Tier.COMPLEX, "explicit model"),
        ("simple", None, Tier.SIMPLE, "explicit tier"),
    ],
)
def test_a_rule_above_the_score_wins_and_is_counted(
    wanted: str, standing: TenantStanding | None, tier: Tier, reason: str
) -> None:
    share = control()
    routes = replace(ROUTES, plan_tiers={"free": Tier.SIMPLE, "gold": Tier.COMPLEX})
    decision = choose(wanted, HARD, routes, "llm", CATALOGUE, share=share, standing=standing)
    assert (decision.tier, decision.reasons) == (tier, (reason,))
    assert share.counts().ruled == {(reason, tier): 1} and share.counts().scored == 0


def test_a_tenant_with_money_and_no_special_plan_is_scored() -> None:
    share = control()
    decision = choose(
        "auto", HARD, ROUTES, "llm", CATALOGUE, share=share, standing=TenantStanding(plan="pro", budget_used=0.9)
    )
    assert decision.reasons == ("code",) and share.counts().scored == 1


def test_a_retired_model_asked_for_by_name_is_refused_on_its_day_and_not_before() -> None:
    last_day = dt.date(2027, 1, 14)
    before = choose("gpt-4o", EASY, ROUTES, "llm", CATALOGUE, today=last_day - dt.timedelta(days=1))
    assert before.targets == ("gpt-4o",)
    with pytest.raises(RetiredModel, match=r"use gpt-6\.1-sol"):
        choose("gpt-4o", EASY, ROUTES, "llm", CATALOGUE, today=last_day)


def test_a_deadline_is_shared_and_never_negative() -> None:
    deadline = Deadline.after(2.0, now_s=10.0)
    assert deadline.remaining_s(11.5) == 0.5 and deadline.allows(0.5, 11.5) and not deadline.allows(0.6, 11.5)
    assert deadline.remaining_s(13.0) == 0.0


def tenant(rate: int | None) -> Tenant:
    return Tenant(tenant_id="acme", name="Acme", plan="pro", active=True, budget_nanousd=None, requests_per_minute=rate)


def test_a_tenant_may_spend_ten_seconds_of_its_rate_at_once_and_then_waits() -> None:
    limits = TenantLimits()
    for _ in range(10):
        limits.take(tenant(60), 100.0)
    with pytest.raises(RateLimited) as refused:
        limits.take(tenant(60), 100.0)
    assert refused.value.retry_after_s == pytest.approx(1.0)
    limits.take(tenant(60), 101.0)


def test_what_may_be_asked_more_often_fills_as_much_faster() -> None:
    limits = TenantLimits(times=4)
    for _ in range(4):
        limits.take(tenant(6), 100.0)
    with pytest.raises(RateLimited) as refused:
        limits.take(tenant(6), 100.0)
    assert refused.value.retry_after_s == pytest.approx(2.5)


def test_a_tenant_without_a_rate_never_waits() -> None:
    limits = TenantLimits()
    for _ in range(1_000):
        limits.take(tenant(None), 0.0)
    assert not limits.buckets
