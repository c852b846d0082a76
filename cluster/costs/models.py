"""The nouns that the cost journal, its clients and the backends share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from routing.errors import BudgetExceeded, RoomClosed
from routing.models import Intent, Outcome, Service, Settlement

NANOUSD_PER_USD = 1_000_000_000

Entry = Intent | Settlement
Refusal = BudgetExceeded | RoomClosed
Receipt = int | Refusal
"""The tenant's spend and reservations this month in nano-dollars, the entry included; or the refusal of the entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledIntent:
    """The effect of a settlement on its tenant's account: the reservation it releases and the spend it adds."""

    tenant_id: str
    released_nanousd: int
    added_nanousd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledEvent:
    """One settled attempt as the journal holds it."""

    tenant_id: str
    service: Service
    model: str
    outcome: Outcome
    cost_nanousd: int
    usage: Mapping[str, int]
