"""Measures the cost journal: both phases of waiting requests while sealing runs, recovery, and the cost of growth.

Run `python -m tests.benchmarks.bench_journal`. The peer is a plain SQLite table, as durable and on the same disk,
which commits as many rows in as many transactions.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from rich.console import Console

from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from cluster.costs.models import Knowledge
from cluster.costs.storage.booking_time import day_of
from cluster.costs.storage.schema import EVENT, IDENTITY, USAGE
from deployments.gateway.metering import event_id_of
from routing.models import Intent
from tests.benchmarks.machine import machine_is_busy
from tests.support.cost_entries import intent, settlement

WAITING = 64
SEAL_EVERY_S = 1.0
NOW_S = 1_796_000_000.0
TENANTS, MODELS = 20, 5
BATCH = 64
GOAL_REQUESTS_PER_S, GOAL_RESERVE_MS, GOAL_RECOVERY_S, GOAL_HOLD_MS = 5_000.0, 10.0, 5.0, 20.0

console = Console(width=120)


def new_intent(number: int) -> Intent:
    tenant, model = f"tenant-{number % TENANTS}", f"model-{number % MODELS}"
    room = f"tenant_tenant-{number % TENANTS}_meeting-{number % 1_000}"
    changes: dict[str, Any] = {"request_id": uuid.uuid4().hex, "opened_at_s": NOW_S, "participant": "ann"}
    return intent(
        event_id_of(changes["request_id"], 1, time.time()), tenant_id=tenant, room=room, model=model, **changes
    )


async def both_phases(directory: Path, requests: int) -> tuple[float, float, list[float], list[float]]:
    """Return requests/s, us of CPU each, each reserve's ms, and those of each sealing call on the journal's thread."""
    journal = Journal(directory / "journal.db")
    log, holds_ms = CommitLog(journal, lambda: NOW_S), list[float]()
    timed(journal, holds_ms)
    # Built before: that is the work of the routers.
    entries = [(one, settlement(one.event_id)) for one in map(new_intent, range(requests))]
    left, reserves_ms = iter(entries), list[float]()

    async def caller() -> None:
        for opened, settled in left:
            began_s = time.perf_counter()
            await log.write([opened])
            reserves_ms.append(1_000 * (time.perf_counter() - began_s))
            await log.write([settled])

    async def seal() -> None:
        while True:
            await asyncio.sleep(SEAL_EVERY_S)
            await log.seal()

    sealing = asyncio.create_task(seal())
    began_s, cpu_s = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(WAITING)))
    took_s, cpu_us = time.perf_counter() - began_s, 1e6 * (time.process_time() - cpu_s) / requests
    sealing.cancel()
    await asyncio.gather(sealing, return_exceptions=True)
    await log.aclose()
    return requests / took_s, cpu_us, reserves_ms, holds_ms


def timed(journal: Journal, holds_ms: list[float]) -> None:
    """Record how long each sealing call holds the journal's thread."""
    for name in ("fill_windows", "close_windows"):
        setattr(journal, name, _timed(getattr(journal, name), holds_ms))


def _timed(call: Callable[[], int], holds_ms: list[float]) -> Callable[[], int]:
    def measured() -> int:
        began_s = time.perf_counter()
        done = call()
        holds_ms.append(1_000 * (time.perf_counter() - began_s))
        return done

    return measured


def plain_sqlite(directory: Path, requests: int) -> float:
    """Return the requests/s of a plain table: an insert and an update of each, WAITING of them in a transaction."""
    with closing(sqlite3.connect(directory / "plain.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE events (event_id TEXT PRIMARY KEY, tenant_id TEXT, cost INTEGER, row TEXT)")
        began_s = time.perf_counter()
        for _ in range(requests // WAITING):
            ids = [str(uuid.uuid4()) for _ in range(WAITING)]
            db.execute("BEGIN")
            db.executemany("INSERT INTO events VALUES (?, 'acme', 0, ?)", [(one, "x" * 200) for one in ids])
            db.execute("COMMIT")
            db.execute("BEGIN")
            db.executemany("UPDATE events SET cost = 700 WHERE event_id = ?", [(one,) for one in ids])
            db.execute("COMMIT")
        return requests / (time.perf_counter() - began_s)


def fill(journal: Journal, settled: int, opened: int) -> None:
    """Insert unsealed and open events by SQL, as a running aggregator would have written them."""
    texts = {"participant": "'ann'", "request_id": "lower(hex(randomblob(16)))", "service": "'vision'", "vendor": "'v'"}
    values = texts | {
        "tenant_id": f"'tenant-' || (i % {TENANTS})",
        "room": "'tenant_acme_meeting-' || (i % 1000)",
        "model": f"'model-' || (i % {MODELS})",
        "price_version": "'p@2026-09-01'",
        "event_id": "lower(hex(randomblob(16)))",
        "corrects": "NULL",
        "outcome": "'ok'",
        "knowledge": "4",
        "estimated": "0",
        "day": str(day_of(NOW_S)),
        "month": "202611",
        "expires_at_s": str(NOW_S + 60),
        "opened_at_s": str(NOW_S),
        "arrived_at_s": str(NOW_S),
        "booked_at_s": str(NOW_S),
    }
    for table, columns, count in (
        ("settled", EVENT, settled),
        ("open_events", ("event_id", *IDENTITY, "expires_at_s"), opened),
    ):
        series = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
        selected = ", ".join(values.get(name, "0" if name in USAGE[2:] else "1") for name in columns)
        if count:
            journal._db.execute(f"INSERT INTO {table} ({', '.join(columns)}) {series} SELECT {selected} FROM n")
    journal._settled.last_event += settled
    journal._db.execute(
        "INSERT OR REPLACE INTO reserved SELECT tenant_id, sum(1), count(*) FROM open_events GROUP BY 1"
    )


def batch_us(journal: Journal, batches: int) -> float:
    """Return the median microseconds of both phases of one request, BATCH of them in each transaction."""
    samples = []
    for _ in range(batches):
        opened = [new_intent(number) for number in range(BATCH)]
        began_s = time.perf_counter()
        with journal.transaction():
            for one in opened:
                journal.add_intent(one, NOW_S, NOW_S + 60)
        with journal.transaction():
            for one in opened:
                journal.settle(settlement(one.event_id), Knowledge.VENDOR_FINAL, NOW_S)
        samples.append(1e6 * (time.perf_counter() - began_s) / BATCH)
    return median(samples)


def growth(directory: Path, events: int, batches: int) -> tuple[float, float, float]:
    """Return us a request, ms of a tenant's totals and ms of the ledger, with `events` settled events in the file."""
    journal = Journal(directory / f"{events}.db")
    fill(journal, events, 0)
    request_us = batch_us(journal, batches)
    with closing(journal.reader()) as reader:
        totals_ms = median(_ms(lambda: reader.totals("tenant-1")) for _ in range(20))
    ledger_ms = median(_ms(lambda: journal.ledger(NOW_S)) for _ in range(20))
    journal.close()
    return request_us, totals_ms, ledger_ms


def _ms(call: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    call()
    return 1_000 * (time.perf_counter() - began_s)


def recovery(directory: Path, events: int) -> tuple[float, list[float]]:
    """Return the seconds until a killed journal of open and unsealed events is open, and each sealing call's ms."""
    killed = Journal(directory / "killed.db")
    fill(killed, events // 2, events // 2)
    killed._file.release()
    began_s = time.perf_counter()
    journal = Journal(directory / "killed.db")
    journal.ledger(NOW_S)
    took_s, holds_ms = time.perf_counter() - began_s, list[float]()
    fill(journal, events - events // 2, 0)
    timed(journal, holds_ms)
    while journal.fill_windows():
        pass
    while journal.close_windows():
        pass
    journal.close()
    return took_s, holds_ms


def main() -> int:
    """Print the figures; return 1 if one misses its goal, 2 when the machine is too busy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--force", action="store_true", help="measure on a busy machine too")
    parser.add_argument("--requests", type=int, default=30_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    arguments = parser.parse_args()
    if machine_is_busy(arguments.force):
        return 2
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as path:
        directory = Path(path)
        rate, cpu_us, reserves_ms, holds_ms = asyncio.run(both_phases(directory, arguments.requests))
        plain = plain_sqlite(directory, arguments.requests)
        p50, p99 = (quantiles(reserves_ms, n=100)[index] for index in (49, 98))
        console.print(
            f"{WAITING} waiting: {rate:,.0f} requests/s, {cpu_us:.0f} us of CPU each, plain SQLite {plain:,.0f}"
        )
        console.print(f"reserve: p50 {p50:.1f} ms, p99 {p99:.1f} ms; longest sealing call {max(holds_ms):.1f} ms")
        small, large = growth(directory, 10_000, 200), growth(directory, arguments.events, 200)
        for name, unit, index in (("a request", "us", 0), ("totals", "ms", 1), ("ledger", "ms", 2)):
            line = f"{small[index]:.2f} {unit} at 10,000 events, {large[index]:.2f} {unit} at {arguments.events:,}"
            console.print(f"{name}: {line}")
        recovery_s, seal_ms = recovery(directory, arguments.events)
        console.print(f"{arguments.events:,} open and unsealed events: opened in {recovery_s:.2f} s")
        console.print(
            f"sealed in {sum(seal_ms) / 1_000:.1f} s, {len(seal_ms)} calls, the longest {max(seal_ms):.1f} ms"
        )
    goals = (rate >= GOAL_REQUESTS_PER_S, p99 <= GOAL_RESERVE_MS, recovery_s < GOAL_RECOVERY_S)
    return int(not all((*goals, max(seal_ms) <= GOAL_HOLD_MS)))


if __name__ == "__main__":
    sys.exit(main())
