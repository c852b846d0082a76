"""Store the accounts of tenants and rooms, so that a restart continues each month and day. Holds their SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from cluster.costs.ledger import Account, AccountKey
from cluster.costs.storage.schema import table_names

_SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (
    tenant_id TEXT NOT NULL, room TEXT NOT NULL, zone TEXT NOT NULL, day TEXT NOT NULL,
    month_nanousd INTEGER NOT NULL, day_nanousd INTEGER NOT NULL, reserved_nanousd INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, room)
) STRICT, WITHOUT ROWID
"""
_LOAD = "SELECT tenant_id, room, zone, day, month_nanousd, day_nanousd FROM accounts"
_SAVE = """INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO UPDATE SET zone = excluded.zone,
    day = excluded.day, month_nanousd = excluded.month_nanousd, day_nanousd = excluded.day_nanousd"""
_FORGET = "DELETE FROM accounts WHERE room != '' AND day < ?"


def read_zone(db: sqlite3.Connection, tenant_id: str) -> str:
    """Return the time zone that a tenant's last request had; empty for UTC, and in a file from before accounts."""
    if "accounts" not in table_names(db):
        return ""
    row = db.execute("SELECT zone FROM accounts WHERE tenant_id = ? AND room = ''", (tenant_id,)).fetchone()
    return "" if row is None else str(row[0])


class AccountTable:
    """The spend as of the last commit. A tenant's is kept for ever, a room's for the days on which it spends.

    The reservations are the estimates of the open events. Their column dates from when they were written here too.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        db.execute(_SCHEMA)

    def load(self) -> dict[AccountKey, Account]:
        return {(tenant_id, room): Account(*values) for tenant_id, room, *values in self._db.execute(_LOAD)}

    def save(self, accounts: Mapping[AccountKey, Account]) -> None:
        """Write accounts, inside of the transaction that changed them."""
        self._db.executemany(
            _SAVE,
            [(*key, one.zone, one.day, one.month_nanousd, one.day_nanousd) for key, one in accounts.items()],
        )

    def forget_idle(self, before_day: str) -> None:
        """Delete the accounts of rooms that spent nothing since a day."""
        self._db.execute(_FORGET, (before_day,))
