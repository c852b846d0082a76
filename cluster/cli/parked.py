"""`rayroom parked`: list the windows that need an operator, and send them again."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from cluster.costs.sending import SetAsideWindow, forget_duplicates, read_set_aside, resend_parked
from routing.billing.money import dollars
from routing.errors import ConfigurationError

T = TypeVar("T")


def read(journal: Path, tenant_id: str | None) -> list[SetAsideWindow]:
    """Return the listed windows; raises ConfigurationError for a file that is no journal."""
    return _opened(journal, lambda: read_set_aside(journal, tenant_id))


def change(journal: Path, tenant_id: str | None, resend: bool, forget: bool) -> str:
    """Send parked windows again, take duplicates off the list, or both; return a line on it."""
    done = []
    if resend:
        done.append(f"{_opened(journal, lambda: resend_parked(journal, tenant_id))} windows are sent again")
    if forget:
        done.append(f"{_opened(journal, lambda: forget_duplicates(journal, tenant_id))} duplicates are off the list")
    return f"{'; '.join(done)}."


def show(listed: Sequence[SetAsideWindow], console: Console, as_json: bool) -> None:
    """Print the windows as JSON or as a table."""
    if as_json:
        print(json.dumps([asdict(window) for window in listed], indent=2))
        return
    table = Table("state", "tenant", "service", "model", "end of window", "cost", "reason", "flush id")
    for window in listed:
        end = dt.datetime.fromtimestamp(window.window_end_s, dt.UTC).isoformat(timespec="seconds")
        names = (window.state, window.tenant_id, window.service, window.model)
        table.add_row(*names, end, dollars(window.cost_nanousd), window.reason, window.flush_id)
    if listed:
        console.print(table)
    total = sum(window.cost_nanousd for window in listed)
    console.print(f"{len(listed)} windows, {dollars(total)}")


def _opened(journal: Path, call: Callable[[], T]) -> T:
    try:
        return call()
    except sqlite3.Error as error:
        raise ConfigurationError(f"costs.journal_path: {journal} cannot be read as a journal: {error}.") from None
