"""Tell the other router replicas of each tenant's requests, so that its rate holds over all of them together."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from routing.errors import RayroomError
from routing.ratelimit import TakenRequests, TenantLimits
from routing.retry import backoff_s

EVERY_S = 0.5
"""A replica admits no more than a bucket of a tenant's requests before it has the counts of the others."""
LONGEST_BACKOFF_S = 30.0

ExchangeRates = Callable[[str, Sequence[TakenRequests]], Awaitable[Sequence[TakenRequests]]]

log = structlog.get_logger()


class RateSharing:
    """Exchange counts with the aggregator in the background: no request waits for it.

    While the aggregator is silent each replica limits its own requests alone, as if it were the only one.
    """

    def __init__(
        self, limits: Mapping[str, TenantLimits], exchange: ExchangeRates, clock: Callable[[], float], every_s: float
    ) -> None:
        """`limits` are those of this replica by the name of their limit."""
        self._limits = limits
        self._exchange = exchange
        self._clock = clock
        self._every_s = every_s
        self._replica = uuid.uuid4().hex
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Exchange from now on. Call it with each limited request; only the first call has an effect."""
        if self._loop is None:
            self._loop = asyncio.create_task(self._run(), name="rate sharing")

    async def aclose(self) -> None:
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait({self._loop})

    async def share(self) -> None:
        """Report the requests since the last call, and count those of the other replicas; raises CostsUnavailable.

        What a failed call reported is lost: it would come too late to matter.
        """
        taken = [one for name, limits in self._limits.items() for one in limits.drain(name)]
        for one in await self._exchange(self._replica, taken):
            if one.limit in self._limits:
                self._limits[one.limit].count(one, self._clock())

    async def _run(self) -> None:
        failures = 0
        while True:
            await asyncio.sleep(
                self._every_s if not failures else backoff_s(failures, self._every_s, LONGEST_BACKOFF_S)
            )
            try:
                await self.share()
                failures = 0
            except RayroomError:
                # The client of the aggregator has logged it.
                failures += 1
            except Exception as error:
                failures += 1
                log.error("rate sharing failed", error=type(error).__name__)
