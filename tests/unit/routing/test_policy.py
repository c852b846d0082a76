"""The models for a request, and the reasons for them."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import replace

import pytest

from routing.catalogue import load_catalogue
from routing.chat import ChatOptions, Message, Tool
from routing.complexity import Complexity
from routing.errors import BadInput, ContextTooLong, RateLimited, RetiredModel, UnknownModel, UnsupportedOption
from routing.models import Tenant, Tier
from routing.policy import (
    Decision,
    ServiceRoutes,
    TenantStanding,
    choose,
    first_models,
    within_capabilities,
    within_limits,
)
from routing.ratelimit import TenantLimits
from routing.retry import Deadline
from routing.share import ShareControl, ShareTarget

CATALOGUE = load_catalogue()
ROUTES = ServiceRoutes(
    targets={Tier.SIMPLE: ("gpt-6-luna", "gemini-3.5-flash-lite"), Tier.COMPLEX: ("gpt-6.1-sol",)},
    threshold=0.5,
    attempts=2,
)


def share_control() -> ShareControl:
    return ShareControl(ShareTarget(service="llm", share=0.3), random.Random(7))


EASY, HARD = Complexity(0.2, ()), Complexity(0.5, ("code",))


def test_a_score_at_the_threshold_goes_to_the_complex_tier() -> None:
    assert choose("auto", EASY, ROUTES, "llm", CATALOGUE).tier is Tier.SIMPLE
    decision = choose("auto", HARD, ROUTES, "llm", CATALOGUE)
    assert (decision.tier, decision.targets, decision.reasons) == (Tier.COMPLEX, ("gpt-6.1-sol",), ("code",))


def test_an_explicit_tier_overrides_the_score() -> None:
    decision = choose("simple", HARD, ROUTES, "llm", CATALOGUE)
    assert (decision.tier, decision.reasons) == (Tier.SIMPLE, ("explicit tier",))


def test_an_explicit_model_has_no_fallback() -> None:
    decision = choose("claude-sonnet-5-5", EASY, ROUTES, "llm", CATALOGUE)
    assert (decision.tier, decision.targets) == (Tier.COMPLEX, ("claude-sonnet-5-5",))


def test_an_unknown_model_or_one_of_another_service_is_rejected() -> None:
    with pytest.raises(UnknownModel):
        choose("gpt-9", EASY, ROUTES, "llm", CATALOGUE)
    with pytest.raises(BadInput, match="does not answer llm requests"):
        choose("nova-3", EASY, ROUTES, "llm", CATALOGUE)


def test_a_share_target_replaces_the_fixed_threshold() -> None:
    share = share_control()
    decisions = [choose("auto", Complexity(0.2, ("x",)), ROUTES, "llm", CATALOGUE, share=share) for _ in range(300)]
    complex_decisions = [decision for decision in decisions if decision.tier is Tier.COMPLEX]
    assert 60 <= len(complex_decisions) <= 90
    assert all(
        decision.score >= decision.threshold and decision.targets == ("gpt-6.1-sol",) for decision in complex_decisions
    )
    assert all(decision.reasons == ("x",) for decision in decisions)


def test_a_spent_share_is_one_of_the_reasons() -> None:
    share = ShareControl(ShareTarget(service="llm", share=0.1, burst=1.0), random.Random(1))
    choose("auto", HARD, ROUTES, "llm", CATALOGUE, share=share)
    decision = choose("auto", Complexity(0.9, ("code",)), ROUTES, "llm", CATALOGUE, share=share)
    assert (decision.tier, decision.reasons) == (Tier.SIMPLE, ("code", "share spent"))


@pytest.mark.parametrize(
    ("requested", "standing", "tier", "reason"),
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
def test_a_rule_overrides_the_score_and_is_counted(
    requested: str, standing: TenantStanding | None, tier: Tier, reason: str
) -> None:
    share = share_control()
    routes = replace(ROUTES, plan_tiers={"free": Tier.SIMPLE, "gold": Tier.COMPLEX})
    decision = choose(requested, HARD, routes, "llm", CATALOGUE, share=share, standing=standing)
    assert (decision.tier, decision.reasons) == (tier, (reason,))
    assert share.counts().ruled == {(reason, tier): 1} and share.counts().scored == 0


def test_a_routes_own_share_of_the_budget_moves_a_tenant_to_the_simple_tier() -> None:
    routes = replace(ROUTES, simple_tier_from=0.5)
    for used, reason in ((0.49, "code"), (0.5, "budget nearly spent")):
        standing = TenantStanding(plan="pro", budget_used=used)
        decision = choose("auto", HARD, routes, "llm", CATALOGUE, share=share_control(), standing=standing)
        assert decision.reasons == (reason,)


def test_a_tenant_without_a_matching_rule_is_scored() -> None:
    share = share_control()
    decision = choose(
        "auto", HARD, ROUTES, "llm", CATALOGUE, share=share, standing=TenantStanding(plan="pro", budget_used=0.9)
    )
    assert decision.reasons == ("code",) and share.counts().scored == 1


def test_an_explicit_model_is_rejected_from_its_retirement_day() -> None:
    last_day = dt.date(2027, 1, 14)
    decision = choose("gpt-4o", EASY, ROUTES, "llm", CATALOGUE, today=last_day - dt.timedelta(days=1))
    assert decision.targets == ("gpt-4o",)
    with pytest.raises(RetiredModel, match=r"use gpt-6-luna"):
        choose("gpt-4o", EASY, ROUTES, "llm", CATALOGUE, today=last_day)


HELLO = (Message(role="user", content=("hello",)),)
STOPPED = ChatOptions(stop=("x",))


def new_decision(*targets: str, stronger: tuple[str, ...] = ()) -> Decision:
    return Decision(tier=Tier.SIMPLE, targets=targets, score=0.1, threshold=0.5, reasons=("x",), stronger=stronger)


def test_the_first_models_that_accept_a_request_are_tried_however_many_are_before_them() -> None:
    three = replace(ROUTES, targets={**ROUTES.targets, Tier.COMPLEX: ("gpt-6.1-sol", "gpt-6.2-sol", "claude-opus-5-5")})
    hard = choose("auto", HARD, three, "llm", CATALOGUE)
    assert first_models(hard, three.attempts).targets == ("gpt-6.1-sol", "gpt-6.2-sol")
    with_stop = within_capabilities(hard, CATALOGUE, STOPPED, HELLO)
    assert first_models(with_stop, three.attempts).targets == ("claude-opus-5-5",)
    easy = choose("auto", EASY, three, "llm", CATALOGUE)
    assert first_models(easy, 1).stronger == ("gpt-6.1-sol",)


def test_only_models_with_room_for_the_request_are_tried() -> None:
    long = (Message(role="user", content=("word " * 200_000,)),)
    assert within_limits(new_decision("gpt-4o", "gpt-6-luna"), CATALOGUE, long, 300).targets == ("gpt-6-luna",)
    with pytest.raises(ContextTooLong, match="gpt-4o takes at most"):
        within_limits(new_decision("gpt-4o", "gpt-4o-mini"), CATALOGUE, long, 300)
    tools = ChatOptions(tools=(Tool(name="f", description="x" * 1_000_000),))
    assert within_limits(new_decision("gpt-4o", "gpt-6-luna"), CATALOGUE, HELLO, 300, options=tools).targets == (
        "gpt-6-luna",
    )


def test_only_models_that_accept_the_options_are_tried() -> None:
    both = new_decision("gpt-6.1-sol", "claude-sonnet-5-5", stronger=("gpt-6.1-sol", "claude-opus-5-5"))
    kept = within_capabilities(both, CATALOGUE, STOPPED, HELLO)
    assert (kept.targets, kept.stronger) == (("claude-sonnet-5-5",), ("claude-opus-5-5",))
    assert within_capabilities(both, CATALOGUE, ChatOptions(), HELLO) == both


def test_options_that_no_model_accepts_are_an_error_of_the_first() -> None:
    with pytest.raises(UnsupportedOption, match=r"gpt-6\.1-sol does not support temperature") as refused:
        within_capabilities(
            new_decision("gpt-6.1-sol", "claude-sonnet-5-5"), CATALOGUE, ChatOptions(temperature=0.2), HELLO
        )
    assert refused.value.param == "temperature"


def test_where_options_may_be_dropped_every_model_stays() -> None:
    both = new_decision("gpt-6.1-sol", "claude-sonnet-5-5", stronger=("gpt-6.1-sol",))
    assert within_capabilities(both, CATALOGUE, STOPPED, HELLO, True) == both


@pytest.mark.parametrize("drop", [False, True])
def test_a_prefill_that_a_model_does_not_accept_is_never_dropped(drop: bool) -> None:
    prefilled = (*HELLO, Message(role="assistant", content=("{",)))
    both = new_decision("gemini-3.5-flash-lite", "gpt-6-luna")
    assert within_capabilities(both, CATALOGUE, ChatOptions(), prefilled, drop).targets == ("gpt-6-luna",)
    with pytest.raises(UnsupportedOption, match="flash-lite does not continue") as excinfo:
        within_capabilities(new_decision("gemini-3.5-flash-lite"), CATALOGUE, ChatOptions(), prefilled, drop)
    assert excinfo.value.param == "messages"


def test_the_remaining_time_of_a_deadline_is_never_negative() -> None:
    deadline = Deadline.after(2.0, now_s=10.0)
    assert deadline.remaining_s(11.5) == 0.5 and deadline.remaining_s(13.0) == 0.0


def tenant(rate: int | None) -> Tenant:
    return Tenant(tenant_id="acme", name="Acme", plan="pro", active=True, budget_nanousd=None, requests_per_minute=rate)


def test_a_tenant_may_burst_ten_seconds_of_its_rate() -> None:
    limits = TenantLimits()
    for _ in range(10):
        limits.take(tenant(60), 100.0)
    with pytest.raises(RateLimited) as excinfo:
        limits.take(tenant(60), 100.0)
    assert excinfo.value.retry_after_s == pytest.approx(1.0)
    limits.take(tenant(60), 101.0)


def test_a_higher_limit_factor_refills_the_bucket_faster() -> None:
    limits = TenantLimits(times=4)
    for _ in range(4):
        limits.take(tenant(6), 100.0)
    with pytest.raises(RateLimited) as excinfo:
        limits.take(tenant(6), 100.0)
    assert excinfo.value.retry_after_s == pytest.approx(2.5)


def test_a_tenant_without_a_rate_is_never_limited() -> None:
    limits = TenantLimits()
    for _ in range(1_000):
        limits.take(tenant(None), 0.0)
    assert not limits.buckets
