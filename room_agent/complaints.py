"""Tells a room what fails, once, and remembers what does until it works again. Mends nothing."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from room_agent.captions import Captions
from room_agent.mouth import Mouth
from room_agent.router_client import Beaten
from room_agent.troubles import ALOUD, Trouble, Troubles

UNBILLED_S = 60.0
"""Without a heartbeat for so long nothing more is heard: its bill would come too late to keep to a budget."""
BUDGET_AGAIN_S = 60.0

log = structlog.get_logger()


class Complaints:
    """One room's, in writing and by voice where there is one."""

    def __init__(self, captions: Captions, mouth: Mouth | None, clock: Callable[[], float]) -> None:
        self._captions = captions
        self._mouth = mouth
        self._clock = clock
        self._troubles = Troubles()
        self._beaten_at_s = clock()
        self._spent_at_s: float | None = None

    def __contains__(self, trouble: Trouble) -> bool:
        return trouble in self._troubles

    def tell(self, trouble: Trouble, works: bool) -> None:
        """Take in whether a part of the conversation works."""
        if works:
            self.works(trouble)
        else:
            self.fails(trouble)

    def fails(self, trouble: Trouble) -> None:
        said = self._troubles.begin(trouble)
        if said is None:
            return
        if trouble is Trouble.BUDGET:
            self._spent_at_s = self._clock()
        self._captions.told(said)
        if trouble in ALOUD and self._mouth is not None:
            self._mouth.say(said)

    def works(self, trouble: Trouble) -> None:
        if self._troubles.end(trouble):
            log.info("works again", part=str(trouble))

    def beaten(self, beaten: Beaten) -> None:
        """Take in what the router answered to a heartbeat."""
        self._beaten_at_s = self._clock()
        if beaten.budget is not None and beaten.budget.is_spent:
            self.fails(Trouble.BUDGET)
        elif beaten.budget is not None or self._waited_for_budget():
            self.works(Trouble.BUDGET)

    def unpaid(self) -> bool:
        """Return whether nothing is to be heard, since nobody would pay for it."""
        if self._clock() - self._beaten_at_s > UNBILLED_S:
            self.fails(Trouble.THINKING)
            return True
        return Trouble.BUDGET in self._troubles

    def report(self) -> dict[str, float]:
        return {f"trouble_{trouble}": times for trouble, times in self._troubles.begun.items()}

    def _waited_for_budget(self) -> bool:
        """Whether a budget that only a refusal told of has rested long enough to be asked for again."""
        return self._spent_at_s is not None and self._clock() - self._spent_at_s > BUDGET_AGAIN_S
