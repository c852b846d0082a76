"""The nouns that the cost journal, its clients and the backends share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from routing.billing.budgets import BudgetKind
from routing.errors import BudgetExceeded, RoomClosed
from routing.models import Intent, Outcome, Service, Settlement, Spending

MOST_NANOUSD = 2**53
"""Nine million dollars: no attempt costs as much. Sums of such figures fit into SQLite's integers."""


class Knowledge(IntEnum):
    """How well the cost of an event is known. A better figure replaces a worse one, never the reverse."""

    EXPIRY = 0
    """Nothing was reported of the answer: the cost is an estimate."""
    ROUTER_ESTIMATE = 1
    NEVER_LEFT = 2
    """No model replica recorded a call, and none of its records can have been lost: the cost is zero."""
    REPLICA_PARTIAL = 3
    """The usage that the model replica knows of a call that was cut."""
    VENDOR_FINAL = 4
    """The vendor's own final report, by the router or by the model replica."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIntent:
    """An intent without a settlement as the journal holds it."""

    event_id: str
    tenant_id: str
    expected_nanousd: int
    """The share of its estimate that the newest exact answers of its model cost; all of it where there is none."""
    arrived_at_s: float
    """By the booking clock."""
    witnessed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatedEvent:
    """An event that no report of its call has settled, and for which one may still come."""

    event_id: str
    outcome: Outcome
    known: Knowledge
    arrived_at_s: float
    witnessed: bool
    until_s: float
    """When it is looked at again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A signed change to the cost of a settled event, such as a refund. It is an event of its own, but no request."""

    correction_id: str
    """The idempotency key, and the event id of the row."""
    event_id: str
    cost_nanousd: int
    usage: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledIntent:
    """The effect of a settlement on its tenant's account: the reservation it releases and the spend it adds."""

    tenant_id: str
    released_nanousd: int
    added_nanousd: int
    room: str = ""
    booked_at_s: float = 0.0
    """The booking time of the event that the added amount belongs to: it counts in that day and month."""
    corrected: bool = False
    """The former cost stays in its closed window, and a row of its own corrects it."""
    arrived_at_s: float = 0.0
    witnessed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetAlert:
    """A tenant's spend has reached a share of one of its budgets."""

    tenant_id: str
    budget: BudgetKind
    period: str
    """The month or the day, in the tenant's own calendar."""
    threshold: float
    spent_nanousd: int
    limit_nanousd: int
    raised_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledEvent:
    """One settled attempt as the journal holds it."""

    tenant_id: str
    service: Service
    model: str
    outcome: Outcome
    cost_nanousd: int
    usage: Mapping[str, int]


Entry = Intent | Settlement
Refusal = BudgetExceeded | RoomClosed
Receipt = Spending | Refusal
"""The tenant's spend and reservations, the entry included; or the refusal of the entry."""
