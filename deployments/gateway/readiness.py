"""Tell whether a request could be answered and billed now; many callers share one check."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from routing.errors import Overloaded, RayroomError

CHECK_EVERY_S = 1.0
"""Anybody may ask for readiness, so a result serves all who ask within this time."""
TIMEOUT_S = 4.0
"""Kubernetes' probes allow a few seconds; a part that does not answer in this time does not answer."""

Check = Callable[[], Awaitable[None]]


class Readiness:
    """The checks of one router replica: the cost journal's, and the model deployments'."""

    def __init__(self, checks: Sequence[Check], clock: Callable[[], float]) -> None:
        self._checks = checks
        self._clock = clock
        self._checking: asyncio.Task[RayroomError | None] | None = None
        self._begun_at_s = 0.0

    async def check(self) -> None:
        """Return if each part answered within the last second; raises the first one's RayroomError."""
        now_s = self._clock()
        if self._checking is None or (self._checking.done() and now_s - self._begun_at_s >= CHECK_EVERY_S):
            self._begun_at_s = now_s
            self._checking = asyncio.create_task(self._error(), name="readiness")
        # Shielded: one caller that leaves must not end the check of the others.
        error = await asyncio.shield(self._checking)
        if error is not None:
            raise type(error)(error.message, error.param, error.retry_after_s)

    async def _error(self) -> RayroomError | None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                for check in self._checks:
                    await check()
        except RayroomError as error:
            return error
        except TimeoutError:
            return Overloaded(f"A part of the app did not answer within {TIMEOUT_S:.0f} s.", retry_after_s=1.0)
        return None
