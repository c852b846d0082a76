"""The nouns of the bill: a query by tenant, time and grouping, its rows, and the cursor from page to page."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from routing.billing.budgets import zone_info
from routing.errors import BadInput

MAX_CURSOR_CHARS = 8_192

Key = tuple[str | int, ...]
"""The values of a row's columns, by which rows are sorted."""


class Grouping(StrEnum):
    """A way to divide a tenant's bill."""

    MODEL = "model"
    ROOM = "room"
    PARTICIPANT = "participant"
    SERVICE = "service"
    DAY = "day"


_COLUMNS: Mapping[Grouping, tuple[str, ...]] = {
    Grouping.MODEL: ("service", "model"),
    Grouping.ROOM: ("room",),
    Grouping.PARTICIPANT: ("participant",),
    Grouping.SERVICE: ("service",),
    Grouping.DAY: ("day",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BillQuery:
    """The tenant, the time and the groupings of a bill; None is no limit.

    The days of one tenant, and its times without an offset, are those of its time zone; those of all tenants are UTC.
    """

    by: tuple[Grouping, ...] = (Grouping.MODEL,)
    tenant_id: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    """The first moment after the bill's time."""

    def since_s(self, zone: str = "") -> float:
        """Return the UNIX time at which the bill begins for a tenant of a time zone."""
        return 0.0 if self.since is None else _time_s(self.since, zone)

    def until_s(self, zone: str = "") -> float | None:
        """Return the UNIX time at which the bill ends for a tenant of a time zone."""
        return None if self.until is None else _time_s(self.until, zone)

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns of a row's key: the tenant, then those of each grouping."""
        return tuple(dict.fromkeys(["tenant_id", *(name for one in self.by for name in _COLUMNS[one])]))


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRequest:
    """A page of a bill: its query, the key after which it begins, and its most rows."""

    query: BillQuery
    after: Key
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRow:
    """A sum of the bill. Its cost is the sum of the reported and the estimated parts and of the corrections."""

    tenant_id: str
    group: Mapping[str, str]
    """The values of the grouping's columns by their names, such as a room or a day; an empty person is nobody."""
    requests: int
    estimated_requests: int
    """The requests whose cost is an estimate to this day."""
    usage: Mapping[str, int]
    cost_nanousd: int
    estimated_nanousd: int
    """The costs that were booked as estimates. Where one was wrong, a correction has the difference."""
    corrections_nanousd: int
    """The signed changes of costs that were booked before, refunds among them."""

    @property
    def reported_nanousd(self) -> int:
        """Return the costs that were booked from the vendors' own reports."""
        return self.cost_nanousd - self.estimated_nanousd - self.corrections_nanousd


@dataclass(frozen=True, slots=True, kw_only=True)
class BillPage:
    """Some rows of a bill, in the order of their keys."""

    rows: tuple[BillRow, ...]
    next_key: Key | None
    """The key after which the next page begins; None on the last page."""
    tenant_known: bool = True
    """Whether the journal has ever booked anything for the tenant of the query."""
    time_zone: str = ""
    """The time zone of the bill's days; empty for UTC."""


def parse_query(
    by: Sequence[str] = (), tenant_id: str | None = None, since: str | None = None, until: str | None = None
) -> BillQuery:
    """Return the query of a bill; raises BadInput with the name of the wrong parameter."""
    groupings = tuple(dict.fromkeys(_grouping(name) for name in by)) or (Grouping.MODEL,)
    begins = None if since is None else _parse_time("since", since)
    ends = None if until is None else _parse_time("until", until)
    query = BillQuery(by=groupings, tenant_id=tenant_id, since=begins, until=ends)
    if (until_s := query.until_s()) is not None and until_s <= query.since_s():
        raise BadInput("until: must be later than since.", "until")
    return query


def _grouping(name: str) -> Grouping:
    try:
        return Grouping(name)
    except ValueError:
        raise BadInput(f"by: {name[:40]!r} is none of {', '.join(Grouping)}.", "by") from None


def _parse_time(param: str, text: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"{param}: {text[:40]!r} is neither a day such as 2026-11-30 nor a time such as 2026-11-30T12:00Z.", param
        ) from None


def _time_s(time: dt.datetime, zone: str) -> float:
    # A midnight that a change of the clock leaves out is the moment of that change; of two the day begins at the first.
    return max(0.0, (time if time.tzinfo else time.replace(tzinfo=zone_info(zone))).timestamp())


def encode_cursor(key: Key) -> str:
    """Return a key as an opaque text that fits a URL."""
    return base64.urlsafe_b64encode(json.dumps(key, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, query: BillQuery) -> Key:
    """Return the key of a cursor; raises BadInput for a text that is no cursor of this query."""
    wrong = BadInput("cursor: is none that this bill returned; begin without one.", "cursor")
    if len(cursor) > MAX_CURSOR_CHARS:
        raise wrong
    try:
        values = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise wrong from None
    if not isinstance(values, list) or len(values) != len(query.columns):
        raise wrong
    if not all(_fits(name, value) for name, value in zip(query.columns, values, strict=True)):
        raise wrong
    return tuple(values)


def _fits(column: str, value: Any) -> bool:
    if column == "day":
        return type(value) is int and 0 <= value < 2**31
    return isinstance(value, str)
