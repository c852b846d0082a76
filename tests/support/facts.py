"""Random numbers that only the backend's knowledge base holds, so that no model can guess them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

ASIDE = "which nobody in this company ever liked and which was cut in half at the last meeting but one"


def number() -> int:
    return 10_000 + secrets.randbelow(90_000)


def _budgets() -> dict[str, int]:
    return {"acme": number(), "globex": number()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts about two tenants."""

    budgets: dict[str, int] = field(default_factory=_budgets)
    """Of one project, each tenant's own."""
    party: int = field(default_factory=number)
    """Known to acme."""
    house: int = field(default_factory=number)
    """Known to globex."""

    def others(self, tenant: str) -> list[str]:
        """Return the numbers that `tenant` may never hear."""
        return [str(budget) for owner, budget in self.budgets.items() if owner != tenant]

    def passages(self) -> list[dict[str, str]]:
        """Return them as the backend holds them."""
        budgets = self.budgets.items()
        return [
            *(_passage(owner, f"The budget of project Falcon is {budget} dollars.") for owner, budget in budgets),
            _passage("acme", f"The summer party, {ASIDE}, was {self.party} dollars."),
            _passage("globex", f"The price of the new house is {self.house} dollars."),
        ]


def _passage(tenant: str, text: str) -> dict[str, str]:
    return {"id": secrets.token_hex(4), "tenantId": tenant, "source": "plans/budget.md", "text": text}
