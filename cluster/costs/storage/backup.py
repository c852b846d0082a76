"""Put a backup in the place of a lost journal, without the costs that the lost journal has billed since."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cluster.costs.storage.journal_file import SETTING, JournalUnusable
from cluster.costs.storage.lost_events import carry_over
from cluster.costs.storage.schema import (
    VERSION,
    UnknownFormat,
    add_restored_column,
    add_usage_columns,
    check_version,
)
from routing.errors import ConfigurationError

_SET_ASIDE = """
DELETE FROM flushes WHERE flush_id IS NULL;
DELETE FROM open_events;
DELETE FROM reserved;
"""
_UNSEALED = """SELECT count(*), coalesce(sum(cost_nanousd), 0) FROM (
    SELECT cost_nanousd FROM settled WHERE event > (SELECT sealed_event FROM journal)
    UNION ALL SELECT cost_nanousd FROM flushes WHERE flush_id IS NULL)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAsideCosts:
    """Costs that were in no complete window when the backup was made."""

    open_events: int
    open_estimate_nanousd: int
    unsealed: int
    """Settled events, and windows that were being filled."""
    unsealed_nanousd: int


def restore(backup: Path, journal: Path, now_s: float) -> SetAsideCosts:
    """Write the backup to `journal`; return the costs that it held and that are not billed from it.

    The lost journal sealed and sent them after the backup was made. To seal them again would bill them twice, because a
    window of another opening has another id. For the same reason later reports correct no cost that was booked before
    `now_s`: the lost journal may have had them, and billed the difference. The costs that it moved to the month
    files beside `journal` count in the bill, the totals and the budgets. Raises ConfigurationError where a journal is
    there already, and JournalUnusable for a backup that is no journal of this version.
    """
    if journal.exists():
        raise ConfigurationError(f"{SETTING}: {journal} exists. Stop the app and move its files away first.", SETTING)
    copy = journal.with_name(f"{journal.name}-restoring")
    journal.parent.mkdir(parents=True, exist_ok=True)
    copy.unlink(missing_ok=True)
    try:
        with (
            closing(sqlite3.connect(f"file:{backup}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(copy)) as db,
        ):
            _check(source)
            source.backup(db)
            add_restored_column(db)
            add_usage_columns(db, ("settled", "flushes"))
            costs = _set_aside(db)
            carry_over(db, copy, journal, now_s)
        copy.rename(journal)
    except (UnknownFormat, sqlite3.Error) as error:
        raise JournalUnusable(f"{backup} cannot be restored: {error}.", SETTING) from None
    finally:
        copy.unlink(missing_ok=True)
    return costs


def _check(backup: sqlite3.Connection) -> None:
    check_version(backup)
    if backup.execute("PRAGMA user_version").fetchone()[0] != VERSION:
        raise UnknownFormat("it was written by an older version, which restores it")


def _set_aside(db: sqlite3.Connection) -> SetAsideCosts:
    (opened, estimate_nanousd) = db.execute(
        "SELECT count(*), coalesce(sum(estimate_nanousd), 0) FROM open_events"
    ).fetchone()
    (unsealed, unsealed_nanousd) = db.execute(_UNSEALED).fetchone()
    with db:
        for statement in _SET_ASIDE.split(";\n"):
            db.execute(statement)
    return SetAsideCosts(
        open_events=opened,
        open_estimate_nanousd=estimate_nanousd,
        unsealed=unsealed,
        unsealed_nanousd=unsealed_nanousd,
    )
