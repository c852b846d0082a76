"""Announces a failing part of the conversation to the room once, until it works again."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import structlog

from room_agent.audio.tts import SpeechOutput
from room_agent.conversation.transcription import Transcription
from room_agent.core.router_client import HeartbeatResult, TenantBudget

log = structlog.get_logger()


class Trouble(StrEnum):
    """A part of the conversation that can fail while the others work."""

    THINKING = "thinking"
    HEARING = "hearing"
    SPEAKING = "speaking"
    BUDGET = "budget"


NOTICE_TEXTS: dict[Trouble, str] = {
    Trouble.THINKING: "I am sorry, I cannot think of an answer right now. Please ask me again in a moment.",
    Trouble.HEARING: "I am sorry, I cannot hear you right now. Please write to me in the chat.",
    Trouble.SPEAKING: "I cannot speak right now. I will answer in writing.",
    Trouble.BUDGET: "The budget for this meeting's assistant is used up. I will be quiet until there is more.",
}
SPOKEN = frozenset({Trouble.THINKING, Trouble.HEARING})
"""Written, and spoken while somebody pays for it. The others are only written: TTS itself fails, or is unpaid."""


class ActiveTroubles:
    """The parts of one room's conversation that fail now, and how often each began to."""

    def __init__(self) -> None:
        self._active: set[Trouble] = set()
        self.begun = dict.fromkeys(Trouble, 0)

    def begin(self, trouble: Trouble) -> bool:
        """Mark a part as failing. Return whether it worked before."""
        if trouble in self._active:
            return False
        self._active.add(trouble)
        self.begun[trouble] += 1
        return True

    def end(self, trouble: Trouble) -> bool:
        """Mark a part as working. Return whether it failed before."""
        was_active = trouble in self._active
        self._active.discard(trouble)
        return was_active

    def __contains__(self, trouble: Trouble) -> bool:
        return trouble in self._active


BUDGET_RETRY_S = 60.0
"""The wait after a refused answer. A reservation can fail before the budget is spent; a cheaper one may fit."""


class BudgetNotice:
    """Decides when a refused budget is announced, and when answers are requested again."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._budget: TenantBudget | None = None
        self._refused_at_s = clock()
        self._announced = False

    def on_refused(self) -> bool:
        """Record that the budget refused an answer. Return whether the room must be told."""
        self._refused_at_s = self._clock()
        is_news, self._announced = not self._announced, True
        return is_news

    def on_answered(self) -> None:
        """Record that an answer was paid for: the next refusal is announced again."""
        self._announced = False

    def may_retry(self, budget: TenantBudget | None) -> bool:
        """Record the budget of a heartbeat's reply, if it has one. Return whether answers may be requested again."""
        if budget is not None and budget.is_spent:
            self._budget = budget
            return False
        before, self._budget = self._budget, budget or self._budget
        if before is not None and budget is not None and _has_more(budget, before):
            self._announced = False
            return True
        return self._clock() - self._refused_at_s > BUDGET_RETRY_S


def _has_more(budget: TenantBudget, before: TenantBudget) -> bool:
    """Return whether a new month began or the limit was raised."""
    if budget.limit_nanousd is None or before.limit_nanousd is None:
        return before.limit_nanousd is not None
    return budget.spent_nanousd < before.spent_nanousd or budget.limit_nanousd > before.limit_nanousd


MAX_UNBILLED_S = 60.0
"""STT pauses after this long without a heartbeat: usage billed later could exceed the budget."""


class Notices:
    """One room's notices: written, and spoken where the agent has TTS."""

    def __init__(
        self, transcription: Transcription, speech_output: SpeechOutput | None, clock: Callable[[], float]
    ) -> None:
        self._transcription = transcription
        self._speech_output = speech_output
        self._clock = clock
        self._troubles = ActiveTroubles()
        self._budget = BudgetNotice(clock)
        self._heartbeat_at_s = clock()

    def __contains__(self, trouble: Trouble) -> bool:
        return trouble in self._troubles

    def update(self, trouble: Trouble, works: bool) -> None:
        """Record whether a part of the conversation works."""
        if works:
            self.recovered(trouble)
        else:
            self.failed(trouble)

    def failed(self, trouble: Trouble) -> None:
        """Record a failure, and announce it unless it is already known to the room."""
        if not self._troubles.begin(trouble):
            return
        if trouble is Trouble.BUDGET and not self._budget.on_refused():
            return
        if trouble in SPOKEN:
            self.announce(NOTICE_TEXTS[trouble])
        else:
            self._transcription.notice(NOTICE_TEXTS[trouble])

    def announce(self, text: str) -> None:
        """Write a text, and say it where the agent has TTS that somebody pays for."""
        self._transcription.notice(text)
        if self._speech_output is not None and Trouble.BUDGET not in self._troubles:
            self._speech_output.say(text)

    def recovered(self, trouble: Trouble) -> None:
        """Record that a part works. Recovery is not announced: the next answer shows it."""
        if self._troubles.end(trouble):
            log.info("conversation recovered", part=str(trouble))
        if trouble is Trouble.THINKING:
            self._budget.on_answered()

    def on_heartbeat(self, result: HeartbeatResult) -> None:
        """Update the budget from the router's reply to a heartbeat."""
        self._heartbeat_at_s = self._clock()
        if self._budget.may_retry(result.budget):
            self.recovered(Trouble.BUDGET)
        elif result.budget is not None and result.budget.is_spent:
            self.failed(Trouble.BUDGET)

    def is_unpaid(self) -> bool:
        """Return whether STT must pause, because its usage cannot be billed."""
        if self._clock() - self._heartbeat_at_s > MAX_UNBILLED_S:
            self.failed(Trouble.THINKING)
            return True
        return Trouble.BUDGET in self._troubles

    def report(self) -> dict[str, float]:
        """Return the counters of a heartbeat."""
        return {f"trouble_{trouble}": times for trouble, times in self._troubles.begun.items()}
