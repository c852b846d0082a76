"""Draw the vendors' latency and cost of one service's requests, many at a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cluster.lab.scenario.arrivals import Floats, Ints
from cluster.lab.scenario.scenario import VendorFault, Vendors
from deployments.common.settings import ServiceSettings
from deployments.providers.simulated import Profile, profile_of
from deployments.providers.simulated_reply import ANSWER_TOKENS, NAME_WORDS
from routing.catalogue import Catalogue
from routing.models import Tier, Usage
from routing.retry import RetrySettings

RETRYABLE_STATUSES = frozenset({408, 429, *range(500, 600)})
"""The vendor's statuses after which the same model is retried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorDraw:
    """The outcomes of a batch of requests, one an index."""

    vendor_s: Floats
    first_s: Floats
    """The vendors' time until the first piece of the answer."""
    cost_nanousd: Ints
    tokens: Ints
    failed: NDArray[np.bool_]
    fallbacks: int
    """Requests answered by a model other than the first of their tier."""


@dataclass(frozen=True, slots=True)
class _Target:
    vendor: str
    profile: Profile
    cost_nanousd: Ints
    """By output tokens."""


class VendorModel:
    """The models of one service in fallback order, with their published latency and price."""

    def __init__(
        self,
        settings: ServiceSettings,
        request_usage: Usage,
        catalogue: Catalogue,
        vendors: Vendors,
        retries: RetrySettings,
        day: dt.date,
        image_px: int = 0,
    ) -> None:
        self._settings, self._faults, self._retries, self._speed = settings, vendors.faults, retries, vendors.speed
        self._max_tokens = min(ANSWER_TOKENS[1] + NAME_WORDS, settings.max_output_tokens)
        self._tiers = {
            tier: [
                self._target(name, request_usage, image_px, catalogue, vendors, day)
                for name in names[: settings.targets]
            ]
            for tier, names in settings.models_of().items()
        }

    def draw(self, rng: np.random.Generator, at_s: float, count: int, slowdown: float = 1.0) -> VendorDraw:
        """Draw the outcomes of a batch of requests sent at one moment."""
        is_complex = rng.random(count) < self._settings.complex_share
        tokens = np.minimum(rng.integers(ANSWER_TOKENS[0], ANSWER_TOKENS[1] + 1, count) + NAME_WORDS, self._max_tokens)
        outcomes = VendorDraw(
            vendor_s=np.zeros(count),
            first_s=np.zeros(count),
            cost_nanousd=np.zeros(count, dtype=np.int64),
            tokens=tokens,
            failed=np.ones(count, dtype=np.bool_),
            fallbacks=0,
        )
        fallbacks = 0
        for tier, indices in ((Tier.SIMPLE, np.flatnonzero(~is_complex)), (Tier.COMPLEX, np.flatnonzero(is_complex))):
            fallbacks += self._try(self._tiers[tier], indices, outcomes, rng, at_s, slowdown)
        return replace(outcomes, fallbacks=fallbacks)

    def _try(
        self,
        targets: Sequence[_Target],
        remaining: Ints,
        outcomes: VendorDraw,
        rng: np.random.Generator,
        at_s: float,
        slowdown: float,
    ) -> int:
        """Try the models in order for the unanswered requests; return the number that the first model failed."""
        first_failed = 0
        for target in targets:
            fault = fault_at(self._faults, target.vendor, at_s)
            retryable = fault is not None and fault.status in RETRYABLE_STATUSES
            for attempt in range(self._retries.tries_of_target if retryable else 1):
                if not len(remaining):
                    return first_failed
                if attempt:
                    waited_s = rng.uniform(0, self._retries.first_wait_s, len(remaining))
                    outcomes.vendor_s[remaining] += waited_s
                    outcomes.first_s[remaining] += waited_s
                remaining = self._call(target, fault, remaining, outcomes, rng, slowdown)
            first_failed = first_failed or len(remaining)
        return first_failed

    def _call(
        self,
        target: _Target,
        fault: VendorFault | None,
        requests: Ints,
        outcomes: VendorDraw,
        rng: np.random.Generator,
        slowdown: float,
    ) -> Ints:
        """Call one model once; return the requests that it failed."""
        tokens = outcomes.tokens[requests]
        timeout_s, slower = self._settings.attempt_timeout_s, slowdown / self._speed
        first_s = target.profile.first_tokens_s(rng, len(requests)) * slower + (fault.slower_by_s if fault else 0.0)
        duration_s = first_s + tokens / target.profile.tokens_per_s * slower
        late = duration_s > timeout_s
        rejected = np.zeros(len(requests), dtype=np.bool_)
        if fault is not None and fault.status is not None:
            rejected = rng.random(len(requests)) < fault.share
        # An error arrives at once; a late answer is awaited for the whole attempt timeout.
        outcomes.vendor_s[requests] += np.where(rejected, 0.0, np.minimum(duration_s, timeout_s))
        outcomes.first_s[requests] += np.where(rejected, 0.0, np.where(late, timeout_s, first_s))
        answered = ~(rejected | late)
        outcomes.failed[requests[answered]] = False
        outcomes.cost_nanousd[requests[answered]] = target.cost_nanousd[tokens[answered]]
        return requests[~answered]

    def _target(
        self, name: str, request_usage: Usage, image_px: int, catalogue: Catalogue, vendors: Vendors, day: dt.date
    ) -> _Target:
        model, price = catalogue.get(name), catalogue.price(name, day)
        profile = profile_of(name, vendors.profiles)
        image_tokens = model.image_token_count(image_px) if image_px else 0
        costs = [
            price.cost_nanousd(
                request_usage + Usage(input_tokens=image_tokens, image_tokens=image_tokens, output_tokens=output_tokens)
            )
            for output_tokens in range(self._max_tokens + 1)
        ]
        return _Target(model.vendor, profile, np.array(costs, dtype=np.int64))


def fault_at(faults: Sequence[VendorFault], vendor: str, at_s: float) -> VendorFault | None:
    """Return the active fault of a vendor, or None."""
    return next((fault for fault in faults if fault.vendor == vendor and fault.from_s <= at_s < fault.to_s), None)
