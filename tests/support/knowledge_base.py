"""A knowledge base of random numbers, so that no model can guess them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

LONG_CLAUSE = "which nobody in this company ever liked and which was cut in half at the last meeting but one"


def random_number() -> int:
    return 10_000 + secrets.randbelow(90_000)


def _budgets() -> dict[str, int]:
    return {"acme": random_number(), "globex": random_number()}


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeBase:
    """The numbers of two tenants, and the passages that hold them."""

    budgets: dict[str, int] = field(default_factory=_budgets)
    """The budget of one project, by tenant."""
    party_cost: int = field(default_factory=random_number)
    """In a passage of acme."""
    house_price: int = field(default_factory=random_number)
    """In a passage of globex."""

    def numbers_of_other_tenants(self, tenant: str) -> list[str]:
        """Return the budgets of the other tenants."""
        return [str(budget) for owner, budget in self.budgets.items() if owner != tenant]

    def passages(self) -> list[dict[str, str]]:
        """Return the passages in the form that the backend stores."""
        budgets = self.budgets.items()
        return [
            *(_passage(owner, f"The budget of project Falcon is {budget} dollars.") for owner, budget in budgets),
            _passage("acme", f"The summer party, {LONG_CLAUSE}, was {self.party_cost} dollars."),
            _passage("globex", f"The price of the new house is {self.house_price} dollars."),
        ]


def _passage(tenant: str, text: str) -> dict[str, str]:
    return {"id": secrets.token_hex(4), "tenantId": tenant, "source": "plans/budget.md", "text": text}
