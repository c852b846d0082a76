"""Remembers how a room's budget stood, whether the room knows of it, and when to ask again. Tells nobody."""

from __future__ import annotations

from collections.abc import Callable

from room_agent.core.router_client import TenantBudget

BUDGET_AGAIN_S = 60.0
"""An answer is refused before the budget is spent, where it may cost more than is left; another may cost less."""


class BudgetNotice:
    """What one room's answers are paid from."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._heard: TenantBudget | None = None
        self._empty_at_s = clock()
        self._told = False

    def empty(self) -> bool:
        """Take in that nothing is paid any more; returns whether that is news to the room."""
        self._empty_at_s = self._clock()
        news, self._told = not self._told, True
        return news

    def paid(self) -> None:
        """Take in that an answer was given: the next refusal is news."""
        self._told = False

    def pays_again(self, budget: TenantBudget | None) -> bool:
        """Take in what a heartbeat was told, if anything; returns whether answers are to be asked for again."""
        if budget is not None and budget.is_spent:
            self._heard = budget
            return False
        before, self._heard = self._heard, budget or self._heard
        if before is not None and budget is not None and _has_more(budget, before):
            self._told = False
            return True
        return self._clock() - self._empty_at_s > BUDGET_AGAIN_S


def _has_more(budget: TenantBudget, before: TenantBudget) -> bool:
    """Whether spending began anew, with a month, or the limit was raised."""
    if budget.limit_nanousd is None or before.limit_nanousd is None:
        return before.limit_nanousd is not None
    return budget.spent_nanousd < before.spent_nanousd or budget.limit_nanousd > before.limit_nanousd
