"""Schema of the query string of a bill."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, ValidationError

from deployments.api.body import Body, bad_input
from routing.billing.bill import MAX_CURSOR_CHARS, BillQuery, Grouping, Key, decode_cursor, parse_query

MAX_ROWS = 1_000
_TIME = Annotated[str, Field(max_length=40)]


class BillParameters(Body):
    """A page of a bill: the tenant, the time, the groupings, and the place to begin at."""

    tenant: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Only this tenant; all of them where it is absent."""
    since: _TIME | None = None
    """The UTC day or time from which on costs count, such as 2026-11-01."""
    until: _TIME | None = None
    """The first UTC day or time whose costs count no more."""
    by: Annotated[tuple[Grouping, ...], Field(max_length=len(Grouping))] = (Grouping.MODEL,)
    """The groupings; the parameter may be given several times."""
    limit: Annotated[int, Field(ge=1, le=MAX_ROWS)] = 100
    """The most rows of a page."""
    cursor: Annotated[str, Field(max_length=MAX_CURSOR_CHARS)] | None = None
    """The `next_cursor` of the page before; the other parameters have to stay the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRequest:
    """A page of a bill: its query, the key after which it begins, and its most rows."""

    query: BillQuery
    after: Key
    limit: int


def parse_bill(items: Iterable[tuple[str, str]]) -> BillRequest:
    """Return the page that the parameters of a query string name; raises BadInput with the wrong parameter."""
    found: dict[str, Any] = {}
    for name, value in items:
        if name == "by":
            found.setdefault("by", []).append(value)
        else:
            found[name] = value
    try:
        wanted = BillParameters.model_validate(found)
    except ValidationError as error:
        raise bad_input(error) from None
    query = parse_query(wanted.by, wanted.tenant, wanted.since, wanted.until)
    after = () if wanted.cursor is None else decode_cursor(wanted.cursor, query)
    return BillRequest(query=query, after=after, limit=wanted.limit)
