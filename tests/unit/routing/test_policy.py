"""Which models a request goes to, and why."""

from __future__ import annotations

import pytest

from routing.catalogue import load_catalogue
from routing.complexity import Complexity, score_frame, score_text
from routing.deadline import Deadline
from routing.errors import BadInput, RateLimited, UnknownModel
from routing.messages import FrameFeatures, Tenant, Tier
from routing.policy import ServiceRoutes, choose
from routing.ratelimit import TenantLimits

CATALOGUE = load_catalogue()
ROUTES = ServiceRoutes(
    targets={Tier.SIMPLE: ("gpt-6-luna", "gemini-3.5-flash-lite"), Tier.COMPLEX: ("gpt-6.1-sol",)},
    threshold=0.5,
    attempts=2,
)
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


def test_a_greeting_is_simple_and_a_plan_with_code_is_complex() -> None:
    assert score_text("hi there").score < 0.2
    hard = score_text("Explain why this fails and plan a fix step by step:\n```\ndef f(): return g()\n```")
    assert hard.score >= 0.5 and {"code", "steps", "why"} <= set(hard.reasons)


def test_a_repair_turn_is_harder_than_the_same_words_without_it() -> None:
    assert score_text("No, I meant the second chart").score > score_text("Show me the second chart").score


def test_a_frame_full_of_new_text_is_harder_than_an_empty_one() -> None:
    assert score_frame(FrameFeatures()).score == 0.0
    assert score_frame(FrameFeatures(text_density=1, edge_energy=1, changed_share=1, novelty=1)).score == 1.0


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


def test_a_tenant_without_a_rate_never_waits() -> None:
    limits = TenantLimits()
    for _ in range(1_000):
        limits.take(tenant(None), 0.0)
    assert limits.buckets == {}
