"""Read pages of the bill beside the commits: on another thread, one at a time, and for a limited time."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

import structlog

from cluster.bill.reader import read_bill
from routing.billing.bill import BillPage, BillQuery, Key

MAX_WAITING = 16

log = structlog.get_logger()


class BillReader:
    """The reads of one journal's bill. Every page adds up the whole time of its query again."""

    def __init__(self, journal: Path, timeout_s: float) -> None:
        self._journal = journal
        self._timeout_s = timeout_s
        self._reading = asyncio.Semaphore(1)
        self._waiting = 0

    async def page(self, query: BillQuery, after: Key, limit: int) -> BillPage | None:
        """Return a page, or None where it is not read in time; raises sqlite3.Error for a damaged month file."""
        if self._waiting >= MAX_WAITING:
            log.warning("bill refused", waiting=self._waiting)
            return None
        ends_at_s = time.monotonic() + self._timeout_s
        self._waiting += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._reading.acquire()
        except TimeoutError:
            return None
        finally:
            self._waiting -= 1
        try:
            return await asyncio.to_thread(self._read, query, after, limit, ends_at_s)
        finally:
            self._reading.release()

    def _read(self, query: BillQuery, after: Key, limit: int, ends_at_s: float) -> BillPage | None:
        def is_late() -> bool:
            return time.monotonic() > ends_at_s

        if is_late():
            return None
        try:
            return read_bill(self._journal, query, after, limit, is_late)
        except sqlite3.OperationalError:
            if not is_late():
                raise
            log.warning("bill too long to read", timeout_s=self._timeout_s)
            return None
