"""The routes, the share of strong models and the defaults of one routed service."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace

from deployments.common.settings import ServiceSettings
from deployments.gateway.metering import BillingContext
from deployments.gateway.models import AttemptTimeouts, RoutedAnswer, RoutedRequest
from routing.capabilities import effort_of, thinking_tokens
from routing.catalogue import Model
from routing.chat import ChatOptions, Message
from routing.models import Service, Tier
from routing.policy import NEARLY_SPENT, Decision, ServiceRoutes, first_models
from routing.share import ShareControl, ShareTarget

SLOW_TOKENS_PER_S = 100.0
"""The rate of the slower models: the lowest of the published rates in `providers/profiles.toml`, rounded."""


@dataclass(frozen=True, slots=True)
class RoutedService:
    """One service's routes, the control of its share of strong models, and the timeouts of each tier."""

    name: Service
    routes: ServiceRoutes
    share: ShareControl
    timeouts: dict[Tier, AttemptTimeouts]
    max_output_tokens: int

    @classmethod
    def of(
        cls, name: Service, settings: ServiceSettings, rng: random.Random, simple_tier_from: float = NEARLY_SPENT
    ) -> RoutedService:
        routes = ServiceRoutes(
            targets=settings.models_of(),
            threshold=settings.threshold,
            attempts=settings.targets,
            plan_tiers=settings.plan_tiers,
            simple_tier_from=simple_tier_from,
        )
        timeouts = {
            tier: AttemptTimeouts(
                attempt_s=settings.attempt_timeout_s,
                first_token_s=settings.first_token_timeout_s.of(tier),
                between_tokens_s=settings.between_tokens_timeout_s,
                total_s=settings.total_timeout_s,
                first_token_least_s=settings.first_token_least_s,
            )
            for tier in Tier
        }
        target = ShareTarget(service=name, share=settings.complex_share, threshold=settings.threshold)
        return cls(name, routes, ShareControl(target, rng), timeouts, settings.max_output_tokens)

    def request(self, billing: BillingContext, decision: Decision, messages: tuple[Message, ...]) -> RoutedRequest:
        """Return a request with the service's defaults, and with as many models as one request may try."""
        return RoutedRequest(
            billing=billing,
            decision=first_models(decision, self.routes.attempts),
            messages=messages,
            max_output_tokens=self.max_output_tokens,
            timeouts=self.timeouts[decision.tier],
        )

    def count_escalation(self, routed: RoutedRequest, answered: RoutedAnswer) -> None:
        """Count an answer of another tier than the decision's, so that the share of strong models holds."""
        if answered.decision.tier is not routed.decision.tier:
            self.share.ruled("escalated", answered.decision.tier)


def extra_thinking_tokens(models: Iterable[Model], options: ChatOptions) -> int:
    """Return the tokens that the requested effort allows beyond each model's lowest level, the most of any model."""
    most = 0
    for capabilities in (model.capabilities for model in models):
        effort, lowest = effort_of(capabilities, options), effort_of(capabilities, ChatOptions())
        most = max(most, thinking_tokens(capabilities, effort) - thinking_tokens(capabilities, lowest))
    return most


def with_extra_time(
    timeouts: AttemptTimeouts, extra_tokens: int, thinking_extra: int, longest_s: float
) -> AttemptTimeouts:
    """Return the timeouts with the time that `extra_tokens` of text and `thinking_extra` of thinking take.

    A first token comes after the thinking, and so waits for that part alone. At most `longest_s` are added.
    """
    thinking_s = min(thinking_extra / SLOW_TOKENS_PER_S, longest_s)
    extra_s = min((max(extra_tokens, 0) + thinking_extra) / SLOW_TOKENS_PER_S, longest_s)
    return replace(
        timeouts,
        attempt_s=timeouts.attempt_s + extra_s,
        first_token_s=timeouts.first_token_s + thinking_s,
        total_s=timeouts.total_s + extra_s,
    )
