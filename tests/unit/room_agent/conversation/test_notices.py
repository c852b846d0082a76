"""When a room is told that its budget is used up, and when it is answered again."""

from __future__ import annotations

import pytest
from livekit import rtc

from room_agent.conversation.notices import BUDGET_AGAIN_S, SAID, Notices, Trouble
from room_agent.conversation.transcription import Transcription
from room_agent.core.router_client import HeartbeatResult, TenantBudget

LIMIT = 1_000


class Page(Transcription):
    """Keeps what it is told to write."""

    def __init__(self) -> None:
        super().__init__(rtc.Room())
        self.lines: list[str] = []

    def told(self, text: str, only_to: str | None = None) -> None:
        self.lines.append(text)


class Scene:
    """A room's complaints, and the hands of its clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.page = Page()
        self.complaints = Notices(self.page, None, lambda: self.now_s)

    @property
    def told(self) -> int:
        assert set(self.page.lines) <= {SAID[Trouble.BUDGET]}
        return len(self.page.lines)

    def beaten(self, spent: int | None, limit: int | None = LIMIT, after_s: float = 5.0) -> bool:
        """Take a heartbeat's answer; returns whether questions are answered then."""
        self.now_s += after_s
        budget = None if spent is None else TenantBudget(spent_nanousd=spent, limit_nanousd=limit)
        self.complaints.beaten(HeartbeatResult(budget=budget))
        return not self.complaints.unpaid()

    def refused(self) -> None:
        self.complaints.fails(Trouble.BUDGET)


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_a_budget_that_refuses_before_it_is_spent_is_told_once_and_rests(scene: Scene) -> None:
    assert scene.beaten(spent=990)
    scene.refused()
    assert not any(scene.beaten(spent=990) for _ in range(int(BUDGET_AGAIN_S / 5)))
    assert scene.beaten(spent=990) and scene.told == 1


async def test_who_asks_again_in_vain_after_a_rest_is_not_told_again(scene: Scene) -> None:
    scene.beaten(spent=990)
    for spent in (990, 991, 995):
        scene.refused()
        assert not scene.beaten(spent=spent)
        # What was heard of the question is spent too.
        assert scene.beaten(spent=spent + 1, after_s=BUDGET_AGAIN_S)
    assert not scene.beaten(spent=LIMIT) and scene.told == 1


async def test_what_is_refused_after_an_answer_is_told_again(scene: Scene) -> None:
    scene.beaten(spent=500)
    scene.refused()
    assert scene.beaten(spent=500, after_s=BUDGET_AGAIN_S + 1)
    scene.complaints.works(Trouble.THINKING)
    scene.refused()
    assert scene.told == 2


@pytest.mark.parametrize(("spent", "limit"), [(3, LIMIT), (990, 2 * LIMIT), (990, None)])
@pytest.mark.parametrize("before", [990, LIMIT])
async def test_a_new_month_or_a_higher_limit_is_answered_from_at_once(
    before: int, spent: int, limit: int | None, scene: Scene
) -> None:
    scene.beaten(spent=before)
    scene.refused()
    assert not scene.beaten(spent=before)
    assert scene.beaten(spent=spent, limit=limit)
    scene.refused()
    assert scene.told == 2


async def test_a_limit_that_is_raised_to_what_is_spent_is_no_more_of_it(scene: Scene) -> None:
    assert not scene.beaten(spent=2 * LIMIT)
    assert not scene.beaten(spent=2 * LIMIT, limit=2 * LIMIT, after_s=BUDGET_AGAIN_S + 1)
    assert scene.told == 1


async def test_a_router_that_says_nothing_of_a_budget_is_asked_again_after_a_rest(scene: Scene) -> None:
    scene.refused()
    assert not scene.beaten(spent=None)
    assert scene.beaten(spent=None, after_s=BUDGET_AGAIN_S)
