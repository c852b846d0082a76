"""Tells a room what fails, once, and remembers what does until it works again. Mends nothing."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import structlog

from room_agent.audio.tts import SpeechOutput
from room_agent.conversation.transcription import Transcription
from room_agent.core.router_client import HeartbeatResult, TenantBudget

log = structlog.get_logger()


class Trouble(StrEnum):
    """What can fail by itself, and does not take the others with it."""

    THINKING = "thinking"
    HEARING = "hearing"
    SPEAKING = "speaking"
    BUDGET = "budget"


SAID: dict[Trouble, str] = {
    Trouble.THINKING: "I am sorry, I cannot think of an answer right now. Please ask me again in a moment.",
    Trouble.HEARING: "I am sorry, I cannot hear you right now. Please write to me in the chat.",
    Trouble.SPEAKING: "I cannot speak right now. I will answer in writing.",
    Trouble.BUDGET: "The budget for this meeting's assistant is used up. I will be quiet until there is more.",
}
ALOUD = frozenset({Trouble.THINKING, Trouble.HEARING})
"""Told in writing and by voice. The others only in writing: without a voice, and without money for one."""


class Troubles:
    """What is wrong in a room now."""

    def __init__(self) -> None:
        self._now: set[Trouble] = set()
        self.begun = dict.fromkeys(Trouble, 0)

    def begin(self, trouble: Trouble) -> str | None:
        """Note that something fails; returns what to say of it, unless that has been said."""
        if trouble in self._now:
            return None
        self._now.add(trouble)
        self.begun[trouble] += 1
        return SAID[trouble]

    def end(self, trouble: Trouble) -> bool:
        """Note that something works; returns whether it did not before."""
        was = trouble in self._now
        self._now.discard(trouble)
        return was

    def __contains__(self, trouble: Trouble) -> bool:
        return trouble in self._now


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


UNBILLED_S = 60.0
"""Without a heartbeat for so long nothing more is heard: its bill would come too late to keep to a budget."""


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
