"""A spent budget is announced once, and answers resume when it has more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from livekit import rtc

from room_agent.audio.tts import SpeechOutput
from room_agent.conversation.notices import BUDGET_RETRY_S, NOTICE_TEXTS, Notices, Trouble
from room_agent.conversation.transcription import Transcription
from room_agent.core.router_client import HeartbeatResult, TenantBudget

LIMIT = 1_000


class RecordingTranscription(Transcription):
    """A transcription that records notices."""

    def __init__(self) -> None:
        super().__init__(rtc.Room())
        self.sent_notices: list[str] = []

    def notice(self, text: str, only_to: str | None = None) -> None:
        self.sent_notices.append(text)


class NoticesHarness:
    """A room's notices and a clock that the test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.transcription = RecordingTranscription()
        self.notices = Notices(self.transcription, None, lambda: self.now_s)

    @property
    def announced(self) -> int:
        assert set(self.transcription.sent_notices) <= {NOTICE_TEXTS[Trouble.BUDGET]}
        return len(self.transcription.sent_notices)

    def heartbeat(self, spent: int | None, limit: int | None = LIMIT, after_s: float = 5.0) -> bool:
        """Process a heartbeat's reply. Return whether questions are answered afterwards."""
        self.now_s += after_s
        budget = None if spent is None else TenantBudget(spent_nanousd=spent, limit_nanousd=limit)
        self.notices.on_heartbeat(HeartbeatResult(budget=budget))
        return not self.notices.is_unpaid()

    def refused(self) -> None:
        self.notices.failed(Trouble.BUDGET)


@pytest.fixture
async def harness() -> NoticesHarness:
    return NoticesHarness()


async def test_nothing_is_spoken_while_the_budget_is_spent(harness: NoticesHarness) -> None:
    spoken: list[str] = []
    speech_output = cast(SpeechOutput, SimpleNamespace(say=spoken.append))
    notices = Notices(harness.transcription, speech_output, lambda: harness.now_s)
    notices.failed(Trouble.HEARING)
    notices.on_heartbeat(HeartbeatResult(budget=TenantBudget(spent_nanousd=LIMIT, limit_nanousd=LIMIT)))
    notices.failed(Trouble.THINKING)
    written = [NOTICE_TEXTS[trouble] for trouble in (Trouble.HEARING, Trouble.BUDGET, Trouble.THINKING)]
    assert harness.transcription.sent_notices == written and spoken == written[:1]


async def test_a_budget_refusal_is_announced_once_and_retried_after_a_wait(harness: NoticesHarness) -> None:
    assert harness.heartbeat(spent=990)
    harness.refused()
    assert not any(harness.heartbeat(spent=990) for _ in range(int(BUDGET_RETRY_S / 5)))
    assert harness.heartbeat(spent=990) and harness.announced == 1


async def test_a_second_refusal_after_the_wait_is_not_announced_again(harness: NoticesHarness) -> None:
    harness.heartbeat(spent=990)
    for spent in (990, 991, 995):
        harness.refused()
        assert not harness.heartbeat(spent=spent)
        # STT of the question costs money too.
        assert harness.heartbeat(spent=spent + 1, after_s=BUDGET_RETRY_S)
    assert not harness.heartbeat(spent=LIMIT) and harness.announced == 1


async def test_a_refusal_after_an_answer_is_announced_again(harness: NoticesHarness) -> None:
    harness.heartbeat(spent=500)
    harness.refused()
    assert harness.heartbeat(spent=500, after_s=BUDGET_RETRY_S + 1)
    harness.notices.recovered(Trouble.THINKING)
    harness.refused()
    assert harness.announced == 2


@pytest.mark.parametrize(("spent", "limit"), [(3, LIMIT), (990, 2 * LIMIT), (990, None)])
@pytest.mark.parametrize("before", [990, LIMIT])
async def test_a_new_month_or_a_higher_limit_resumes_answers_at_once(
    before: int, spent: int, limit: int | None, harness: NoticesHarness
) -> None:
    harness.heartbeat(spent=before)
    harness.refused()
    assert not harness.heartbeat(spent=before)
    assert harness.heartbeat(spent=spent, limit=limit)
    harness.refused()
    assert harness.announced == 2


async def test_a_limit_raised_to_the_spent_amount_does_not_resume_answers(harness: NoticesHarness) -> None:
    assert not harness.heartbeat(spent=2 * LIMIT)
    assert not harness.heartbeat(spent=2 * LIMIT, limit=2 * LIMIT, after_s=BUDGET_RETRY_S + 1)
    assert harness.announced == 1


async def test_answers_resume_after_the_wait_if_the_router_reports_no_budget(harness: NoticesHarness) -> None:
    harness.refused()
    assert not harness.heartbeat(spent=None)
    assert harness.heartbeat(spent=None, after_s=BUDGET_RETRY_S)
