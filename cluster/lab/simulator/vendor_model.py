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
from deployments.providers.simulated import ANSWER_TOKENS, NAME_WORDS, Profile, profile_of
from routing.catalogue import Catalogue
from routing.models import Tier, Usage
from routing.retry import RetrySettings

RETRIED = frozenset({408, 429, *range(500, 600)})
"""The vendor's statuses after which the same model is called again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorDraw:
    """The outcomes of a batch of requests, one an index."""

    vendor_s: Floats
    first_s: Floats
    """The vendors' time until the first piece of the answer."""
    cost_nanousd: Ints
    tokens: Ints
    failed: NDArray[np.bool_]
    fell_back: int
    """Requests answered by another model than the first of their tier."""


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
        input_of: Usage,
        catalogue: Catalogue,
        vendors: Vendors,
        retries: RetrySettings,
        day: dt.date,
        image_px: int = 0,
    ) -> None:
        self._settings, self._faults, self._retries, self._speed = settings, vendors.faults, retries, vendors.speed
        self._most_tokens = min(ANSWER_TOKENS[1] + NAME_WORDS, settings.max_output_tokens)
        self._tiers = {
            tier: [
                self._target(name, input_of, image_px, catalogue, vendors, day) for name in names[: settings.targets]
            ]
            for tier, names in settings.models_of().items()
        }

    def draw(self, rng: np.random.Generator, at_s: float, count: int, slowdown: float = 1.0) -> VendorDraw:
        """Draw the outcomes of a batch of requests sent at one moment."""
        hard = rng.random(count) < self._settings.complex_share
        tokens = np.minimum(rng.integers(ANSWER_TOKENS[0], ANSWER_TOKENS[1] + 1, count) + NAME_WORDS, self._most_tokens)
        drawn = VendorDraw(
            vendor_s=np.zeros(count),
            first_s=np.zeros(count),
            cost_nanousd=np.zeros(count, dtype=np.int64),
            tokens=tokens,
            failed=np.ones(count, dtype=np.bool_),
            fell_back=0,
        )
        fell_back = 0
        for tier, among in ((Tier.SIMPLE, np.flatnonzero(~hard)), (Tier.COMPLEX, np.flatnonzero(hard))):
            fell_back += self._try(self._tiers[tier], among, drawn, rng, at_s, slowdown)
        return replace(drawn, fell_back=fell_back)

    def _try(
        self,
        targets: Sequence[_Target],
        left: Ints,
        drawn: VendorDraw,
        rng: np.random.Generator,
        at_s: float,
        slowdown: float,
    ) -> int:
        """Try one model after the other for the unanswered requests; return how many the first model failed."""
        first_failed = 0
        for target in targets:
            fault = fault_at(self._faults, target.vendor, at_s)
            again = fault is not None and fault.status in RETRIED
            for attempt in range(self._retries.tries_of_target if again else 1):
                if not len(left):
                    return first_failed
                if attempt:
                    waited_s = rng.uniform(0, self._retries.first_wait_s, len(left))
                    drawn.vendor_s[left] += waited_s
                    drawn.first_s[left] += waited_s
                left = self._ask(target, fault, left, drawn, rng, slowdown)
            first_failed = first_failed or len(left)
        return first_failed

    def _ask(
        self,
        target: _Target,
        fault: VendorFault | None,
        asked: Ints,
        drawn: VendorDraw,
        rng: np.random.Generator,
        slowdown: float,
    ) -> Ints:
        """Call one model once; return the requests that it failed."""
        tokens = drawn.tokens[asked]
        longest_s, slower = self._settings.attempt_timeout_s, slowdown / self._speed
        first_s = target.profile.first_tokens_s(rng, len(asked)) * slower + (fault.slower_by_s if fault else 0.0)
        took_s = first_s + tokens / target.profile.tokens_per_s * slower
        late = took_s > longest_s
        refused = np.zeros(len(asked), dtype=np.bool_)
        if fault is not None and fault.status is not None:
            refused = rng.random(len(asked)) < fault.share
        # An error arrives at once; a late answer is awaited for the whole attempt timeout.
        drawn.vendor_s[asked] += np.where(refused, 0.0, np.minimum(took_s, longest_s))
        drawn.first_s[asked] += np.where(refused, 0.0, np.where(late, longest_s, first_s))
        answered = ~(refused | late)
        drawn.failed[asked[answered]] = False
        drawn.cost_nanousd[asked[answered]] = target.cost_nanousd[tokens[answered]]
        return asked[~answered]

    def _target(
        self, name: str, input_of: Usage, image_px: int, catalogue: Catalogue, vendors: Vendors, day: dt.date
    ) -> _Target:
        model, price = catalogue.get(name), catalogue.price(name, day)
        profile = profile_of(name, vendors.profiles)
        image_tokens = model.image_token_count(image_px) if image_px else 0
        costs = [
            price.cost_nanousd(
                input_of + Usage(input_tokens=image_tokens, image_tokens=image_tokens, output_tokens=said)
            )
            for said in range(self._most_tokens + 1)
        ]
        return _Target(model.vendor, profile, np.array(costs, dtype=np.int64))


def fault_at(faults: Sequence[VendorFault], vendor: str, at_s: float) -> VendorFault | None:
    """Return the fault that a vendor has now."""
    return next((fault for fault in faults if fault.vendor == vendor and fault.from_s <= at_s < fault.to_s), None)
