"""Call the aggregator's actor from any process of the cluster, and replace it when a newer deployment differs."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from ray.exceptions import ActorDiedError

from cluster.aggregator.actor import find_aggregator, start_aggregator
from cluster.aggregator.deployment import AggregatorSettings
from routing.errors import CostsUnavailable, RayroomError

REPLACED_AFTER_S = 0.2
"""The time that a replaced actor's name may take to become free."""
SUCCESSOR_S = 5.0
"""The time for which a handle whose actor ended looks for one of a newer deployment, before it starts one itself.

An actor of the older settings would be refused, and would hold the name for seconds in which no request is billed.
"""

log = structlog.get_logger()


class AggregatorHandle:
    """The handle of one shard's actor, found or started at the first call. It can be pickled."""

    def __init__(self, settings: AggregatorSettings, shard: int = 0) -> None:
        self._settings = settings
        self._shard = shard
        self._actor: Any = None
        self._starts_from_s = 0.0
        """The loop's time from which this handle may start the actor."""
        self._connecting = asyncio.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return AggregatorHandle, (self._settings, self._shard)

    @property
    def timeout_s(self) -> float:
        return self._settings.costs.timeout_s

    async def call(self, method: str, *values: object) -> Any:
        """Return the method's result; raises CostsUnavailable after any failure."""
        try:
            async with asyncio.timeout(self.timeout_s):
                actor = await self._connected()
                return await getattr(actor, method).remote(*values)
        except Exception as error:
            if isinstance(error, ActorDiedError):
                # It is dead for good: the next call finds the actor that was started since, or starts it again.
                self._actor = None
                self._starts_from_s = asyncio.get_running_loop().time() + SUCCESSOR_S
            if not isinstance(error, RayroomError):
                # Ray's errors are many, and others come while its head restarts: each means that nothing was answered.
                log.warning("aggregator call failed", method=method, error=type(error).__name__)
            retry_after_s = error.retry_after_s if isinstance(error, RayroomError) else None
            raise CostsUnavailable(retry_after_s=retry_after_s or 1.0) from error

    async def _connected(self) -> Any:
        async with self._connecting:
            while self._actor is None:
                actor = await self._find_or_start()
                if actor is None or await self._replace(actor):
                    await asyncio.sleep(REPLACED_AFTER_S)
                else:
                    self._actor = actor
        return self._actor

    async def _find_or_start(self) -> Any:
        """Return the running actor; start it if this handle may, else return None where there is none."""
        if asyncio.get_running_loop().time() >= self._starts_from_s:
            return await asyncio.to_thread(start_aggregator, self._settings, self._shard)
        try:
            return await asyncio.to_thread(find_aggregator, self._shard)
        except ValueError:
            return None

    async def _replace(self, actor: Any) -> bool:
        """End an actor of an older deployment in order; return False for one that may go on."""
        deployment = self._settings.deployment
        try:
            if await actor.serves.remote(deployment):
                return False
            log.info("aggregator of an older deployment replaced")
            await actor.retire.remote(deployment)
        except ActorDiedError:
            # It ends its process in `retire`, or another replica's call was first.
            pass
        return True
