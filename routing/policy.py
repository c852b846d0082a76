"""Chooses the tier and the ordered targets for one request. Plain values in, a decision out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from routing.catalogue import Catalogue
from routing.complexity import Complexity
from routing.errors import BadInput
from routing.messages import Service, Tier

AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRoutes:
    """Where a service's requests may go: models in order for each tier, and the score that makes a turn complex."""

    targets: Mapping[Tier, tuple[str, ...]]
    threshold: float
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Which models to try, in order, and why."""

    tier: Tier
    targets: tuple[str, ...]
    score: float
    threshold: float
    reasons: tuple[str, ...]


def choose(
    wanted: str, complexity: Complexity, routes: ServiceRoutes, service: Service, catalogue: Catalogue
) -> Decision:
    """Return the decision for a request whose `model` is `auto`, a tier's name, or a catalogue name.

    An explicit model is tried alone: who names one wants that one. Raises UnknownModel or BadInput.
    """
    if wanted in (AUTO, *Tier):
        tier, reasons = _tier(wanted, complexity, routes.threshold)
        targets = routes.targets[tier][: routes.attempts]
    else:
        model = catalogue.get(wanted)
        if service not in model.services:
            raise BadInput(f"The model {model.name} does not answer {service} requests.", "model")
        tier, targets, reasons = model.tier, (model.name,), ("explicit model",)
    return Decision(tier=tier, targets=targets, score=complexity.score, threshold=routes.threshold, reasons=reasons)


def _tier(wanted: str, complexity: Complexity, threshold: float) -> tuple[Tier, tuple[str, ...]]:
    if wanted != AUTO:
        return Tier(wanted), ("explicit tier",)
    tier = Tier.COMPLEX if complexity.score >= threshold else Tier.SIMPLE
    return tier, complexity.reasons
