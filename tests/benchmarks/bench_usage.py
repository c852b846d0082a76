"""Measures the cost of journaling one piece of audio around its send, compared with SQLite's commits."""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles

from rich.console import Console

from room_agent.usage.job_file import JournaledJob
from room_agent.usage.journal import UsageJournal
from room_agent.usage.meter import SpeechMeter

PIECES, SYNCED_PIECES = 20_000, 200
GOAL_US = 100.0
"""A send waits for the journal on the event loop; 500 us would be a hundredth of a piece's duration."""


def usage_journal(directory: Path) -> Callable[[], None]:
    journal = UsageJournal.create(directory, JournaledJob(room="tenant_acme_bench", job_id="AJ_1", metadata="{}"))
    socket = SpeechMeter(time.time, journal).socket("stt", "nova-3")

    def piece() -> None:
        socket.will_send(50)
        socket.sent(0)

    return piece


def sqlite(directory: Path, synchronous: str) -> Callable[[], None]:
    """Return a function that writes the same two records as two commits of a table with the sum."""
    connection = sqlite3.connect(directory / f"{synchronous}.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("CREATE TABLE amounts (socket INTEGER PRIMARY KEY, amount INTEGER, doubtful INTEGER)")
    connection.execute("INSERT INTO amounts VALUES (1, 0, 0)")

    def piece() -> None:
        connection.execute("UPDATE amounts SET amount = amount + ?, doubtful = ? WHERE socket = 1", (50, 50))
        connection.execute("UPDATE amounts SET doubtful = 0 WHERE socket = 1")

    return piece


def synced(directory: Path) -> Callable[[], None]:
    """Return a function that writes and syncs each piece; its cost is the reason to sync outside the sends."""
    file = os.open(directory / "synced", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)

    def piece() -> None:
        os.write(file, b'["will",1,"stt","nova-3",50]\n')
        os.fdatasync(file)

    return piece


def durations_us(piece: Callable[[], None], times: int) -> tuple[float, float, float]:
    """Return the median, the 99th percentile and the longest."""
    samples_us = []
    for _ in range(times):
        began_ns = time.perf_counter_ns()
        piece()
        samples_us.append((time.perf_counter_ns() - began_ns) / 1_000)
    parts = quantiles(samples_us, n=100)
    return parts[49], parts[98], max(samples_us)


def main() -> int:
    """Print each duration; return 1 if the journal's median misses its goal."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as path:
        directory, console = Path(path), Console()
        first = durations_us(usage_journal(directory), PIECES)
        rows = {
            "the agent's journal": first,
            "SQLite, WAL, synchronous=NORMAL": durations_us(sqlite(directory, "NORMAL"), PIECES),
            "SQLite, WAL, synchronous=FULL": durations_us(sqlite(directory, "FULL"), SYNCED_PIECES),
            "one write and fdatasync": durations_us(synced(directory), SYNCED_PIECES),
        }
    for name, (median, p99, longest) in rows.items():
        console.print(f"{name}: p50 {median:.0f} us, p99 {p99:.0f} us, longest {longest:.0f} us")
    return int(first[0] > GOAL_US)


if __name__ == "__main__":
    sys.exit(main())
