"""Readiness reports the first part that does not answer, and many callers share one check."""

from __future__ import annotations

import asyncio

import pytest

from deployments.gateway import readiness
from deployments.gateway.readiness import CHECK_EVERY_S, Readiness
from routing.errors import CostsUnavailable, Overloaded, RayroomError


class Part:
    """A part of the app that counts its checks."""

    def __init__(self, error: RayroomError | None = None, hangs: bool = False) -> None:
        self.error = error
        self.hangs = hangs
        self.checks = 0

    async def check(self) -> None:
        self.checks += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error


async def test_the_error_of_a_part_is_that_of_readiness_until_the_part_works_again() -> None:
    now_s = 0.0
    journal, models = Part(), Part(CostsUnavailable(retry_after_s=1.0))
    ready = Readiness([journal.check, models.check], lambda: now_s)
    for _ in range(3):
        with pytest.raises(CostsUnavailable):
            await ready.check()
    models.error = None
    now_s = CHECK_EVERY_S
    await ready.check()
    assert (journal.checks, models.checks) == (2, 2)


async def test_a_thousand_callers_cost_one_check_a_second() -> None:
    now_s = 0.0
    journal = Part()
    ready = Readiness([journal.check], lambda: now_s)
    for second in range(3):
        now_s = second * CHECK_EVERY_S
        await asyncio.gather(*(ready.check() for _ in range(1_000)))
    assert journal.checks == 3


async def test_a_part_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "TIMEOUT_S", 0.01)
    ready = Readiness([Part(hangs=True).check], lambda: 0.0)
    async with asyncio.timeout(5):
        with pytest.raises(Overloaded, match="did not answer"):
            await ready.check()


async def test_a_caller_that_leaves_does_not_end_the_check_of_the_others() -> None:
    journal = Part()
    ready = Readiness([journal.check], lambda: 0.0)
    leaving, staying = (asyncio.create_task(ready.check()) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    assert journal.checks == 1
