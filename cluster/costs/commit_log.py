"""Makes cost entries durable in the order they come, many in one commit. Knows the disk, not Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from cluster.costs.journal import Journal
from cluster.costs.ledger import Account, Ledger, month_of, month_start_s
from routing.errors import BudgetExceeded, CostsUnavailable
from routing.models import Intent, Settlement, TenantTotals

Entry = Intent | Settlement
Receipt = int | BudgetExceeded
"""What the tenant has committed this month, in nano-dollars, with the entry in it; or what kept the entry out."""
T = TypeVar("T")

MAX_WAITING = 50_000
"""Entries that may wait for a commit: about two seconds of what two cores can write."""

log = structlog.get_logger()


class CommitLog:
    """Commits all entries that arrived while the last commit ran, each batch as one transaction.

    Every call of the journal runs on one thread of its own. The ledger is changed on that thread only.
    """

    def __init__(self, journal: Journal, clock: Callable[[], float]) -> None:
        self._journal = journal
        self._clock = clock
        self._ledger = _load_ledger(journal, clock())
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._waiting: list[tuple[Sequence[Entry], asyncio.Future[list[Receipt]]]] = []
        self._waiting_entries = 0
        self._writer: asyncio.Task[None] | None = None
        self.refused_entries = 0
        self.ignored_settlements = 0

    async def write(self, entries: Sequence[Entry]) -> list[Receipt]:
        """Return each entry's receipt, once all of them are on disk.

        Raises CostsUnavailable when too many entries wait, or when the disk refuses; then none of them is written.
        """
        if self._waiting_entries + len(entries) > MAX_WAITING:
            self.refused_entries += len(entries)
            raise CostsUnavailable(retry_after_s=1.0)
        done: asyncio.Future[list[Receipt]] = asyncio.get_running_loop().create_future()
        self._waiting.append((entries, done))
        self._waiting_entries += len(entries)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_waiting())
        return await done

    async def _write_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting, self._waiting_entries = self._waiting, [], 0
            entries = [entry for some, _ in batch for entry in some]
            try:
                receipts = iter(await self.on_disk(lambda entries=entries: self._commit(entries)))  # type: ignore[misc]
            except Exception as error:
                log.error("journal commit failed", entries=len(entries), error=type(error).__name__)
                _fail(batch, CostsUnavailable(retry_after_s=1.0))
                continue
            for some, done in batch:
                result = [next(receipts) for _ in some]
                if not done.done():
                    done.set_result(result)

    async def on_disk(self, call: Callable[[], T]) -> T:
        """Run `call` on the journal's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _commit(self, entries: Sequence[Entry]) -> list[Receipt]:
        try:
            with self._journal.transaction():
                return [self._apply(entry) for entry in entries]
        except BaseException:
            self._ledger = _load_ledger(self._journal, self._clock())
            raise

    def _apply(self, entry: Entry) -> Receipt:
        if isinstance(entry, Settlement):
            return self._settle(entry)
        if self._journal.open(entry):
            try:
                self._ledger.reserve(entry, self._clock())
            except BudgetExceeded as refusal:
                self._journal.forget(entry.event_id)
                return refusal
        return self._ledger.account(entry.tenant_id, self._clock()).committed_nanousd

    def _settle(self, settlement: Settlement) -> int:
        settled = self._journal.settle(settlement)
        if settled is None:
            self.ignored_settlements += 1
            return 0
        self._ledger.settle(settled.tenant_id, settled.released_nanousd, settled.added_nanousd, self._clock())
        return self._ledger.account(settled.tenant_id, self._clock()).committed_nanousd

    async def seal(self) -> int:
        """Settle the expired intents, then seal all that is settled; returns how many windows that made."""
        return await self.on_disk(self._seal)

    def _seal(self) -> int:
        now_s = self._clock()
        expired = self._journal.expired(now_s)
        if expired:
            log.warning("intents expired and were billed at their estimate", intents=len(expired))
            self._commit(expired)
        with self._journal.transaction():
            return self._journal.seal(now_s)

    async def totals(self, tenant_id: str) -> TenantTotals:
        return await self.on_disk(lambda: _totals(self._journal, tenant_id))

    def spent_nanousd(self, tenant_ids: Iterable[str]) -> dict[str, int]:
        """Return what each tenant has spent this month, at once: a heartbeat waits for no commit."""
        return self._ledger.spent_nanousd(tenant_ids, self._clock())

    async def open_intents(self) -> int:
        query = "SELECT count(*) AS n FROM events WHERE outcome IS NULL"
        return int(str((await self.on_disk(lambda: self._journal.rows(query)))[0]["n"]))

    async def aclose(self) -> None:
        if self._writer is not None:
            await self._writer
        await self.on_disk(self._journal.close)
        self._thread.shutdown()


def _fail(batch: Sequence[tuple[Sequence[Entry], asyncio.Future[list[Receipt]]]], error: CostsUnavailable) -> None:
    for _, done in batch:
        if not done.done():
            done.set_exception(error)


def _load_ledger(journal: Journal, now_s: float) -> Ledger:
    """Build the accounts from what is on disk."""
    query = """SELECT tenant_id, sum(CASE WHEN settled_at_s >= ? THEN cost_nanousd ELSE 0 END) AS spent,
        sum(CASE WHEN outcome IS NULL THEN estimate_nanousd ELSE 0 END) AS reserved FROM events GROUP BY tenant_id"""
    accounts = {
        str(row["tenant_id"]): Account(month_of(now_s), int(str(row["spent"] or 0)), int(str(row["reserved"] or 0)))
        for row in journal.rows(query, (month_start_s(now_s),))
    }
    return Ledger(accounts)


_BY_MODEL = """
SELECT service, model, max(simulated) AS simulated, sum(requests) AS requests, sum(estimated) AS estimated_requests,
       sum(cost) AS cost_nanousd, sum(sent) AS sent_nanousd
FROM (
    SELECT service, model, simulated, requests, estimated_requests AS estimated, cost_nanousd AS cost,
           CASE WHEN sent_at_s IS NULL THEN 0 ELSE cost_nanousd END AS sent
    FROM flushes WHERE tenant_id = :tenant
    UNION ALL
    SELECT service, model, simulated, 1, estimated, cost_nanousd, 0
    FROM events WHERE tenant_id = :tenant AND outcome IS NOT NULL AND flush_id IS NULL
) GROUP BY service, model ORDER BY service, model"""
_RESERVED = "SELECT total(estimate_nanousd) AS n FROM events WHERE outcome IS NULL AND tenant_id = :tenant"


def _totals(journal: Journal, tenant_id: str) -> TenantTotals:
    of_tenant = {"tenant": tenant_id}
    by_model = journal.rows(_BY_MODEL, of_tenant)
    for row in by_model:
        row["simulated"] = bool(row["simulated"])

    def total(name: str) -> int:
        return sum(int(str(row[name])) for row in by_model)

    return TenantTotals(
        tenant_id=tenant_id,
        settled_nanousd=total("cost_nanousd"),
        reserved_nanousd=int(float(str(journal.rows(_RESERVED, of_tenant)[0]["n"]))),
        sent_nanousd=total("sent_nanousd"),
        requests=total("requests"),
        estimated_requests=total("estimated_requests"),
        by_model=tuple(by_model),
    )
