"""Tells a room what fails, once, and remembers what does until it works again. Mends nothing."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from room_agent.audio.tts import SpeechOutput
from room_agent.conversation.purse import BudgetNotice
from room_agent.conversation.transcription import Transcription
from room_agent.conversation.troubles import ALOUD, Trouble, Troubles
from room_agent.core.router_client import HeartbeatResult

UNBILLED_S = 60.0
"""Without a heartbeat for so long nothing more is heard: its bill would come too late to keep to a budget."""

log = structlog.get_logger()


class Notices:
    """One room's, in writing and by voice where there is one."""

    def __init__(self, captions: Transcription, mouth: SpeechOutput | None, clock: Callable[[], float]) -> None:
        self._captions = captions
        self._mouth = mouth
        self._clock = clock
        self._troubles = Troubles()
        self._purse = BudgetNotice(clock)
        self._beaten_at_s = clock()

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
        if said is None or (trouble is Trouble.BUDGET and not self._purse.empty()):
            return
        self._captions.told(said)
        if trouble in ALOUD and self._mouth is not None:
            self._mouth.say(said)

    def works(self, trouble: Trouble) -> None:
        if self._troubles.end(trouble):
            log.info("works again", part=str(trouble))
        if trouble is Trouble.THINKING:
            self._purse.paid()

    def beaten(self, beaten: HeartbeatResult) -> None:
        """Take in what the router answered to a heartbeat."""
        self._beaten_at_s = self._clock()
        if self._purse.pays_again(beaten.budget):
            self.works(Trouble.BUDGET)
        elif beaten.budget is not None and beaten.budget.is_spent:
            self.fails(Trouble.BUDGET)

    def unpaid(self) -> bool:
        """Return whether nothing is to be heard, since nobody would pay for it."""
        if self._clock() - self._beaten_at_s > UNBILLED_S:
            self.fails(Trouble.THINKING)
            return True
        return Trouble.BUDGET in self._troubles

    def report(self) -> dict[str, float]:
        return {f"trouble_{trouble}": times for trouble, times in self._troubles.begun.items()}
