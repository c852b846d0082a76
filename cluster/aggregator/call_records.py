"""Send a model replica's call records to the aggregator, written to the socket before the vendor's request leaves."""

from __future__ import annotations

from typing import Any

from cluster.config.settings import BackendSettings, CostSettings
from routing.models import CallRecord


class CallRecordOutbox:
    """Implement `CallRecords` of routing.models. Connects in `start` or at the first record, so it can be pickled."""

    def __init__(self, costs: CostSettings, backend: BackendSettings) -> None:
        self._costs = costs
        self._backend = backend

    def __reduce__(self) -> tuple[Any, ...]:
        return CallRecordOutbox, (self._costs, self._backend)

    def start(self) -> None:
        """Connect in the background. Call it on the replica's event loop when the replica starts."""

    def add(self, record: CallRecord) -> None:
        """Queue a record; it is written to the socket at the next turn of the event loop."""

    async def aclose(self) -> None:
        """Deliver the records that wait, for a second at most."""
