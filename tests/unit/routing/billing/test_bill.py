"""A bill's query is read from texts, each wrong one by its name, and a cursor returns the key that it was made of."""

from __future__ import annotations

import base64
import datetime as dt

import pytest

from routing.billing.bill import BillQuery, Grouping, decode_cursor, encode_cursor, parse_query
from routing.billing.budgets import day_of
from routing.errors import BadInput

NOVEMBER_S = dt.datetime(2026, 11, 1, tzinfo=dt.UTC).timestamp()
DAILY = BillQuery(by=(Grouping.DAY, Grouping.ROOM))


def test_a_day_begins_in_utc_and_a_time_keeps_its_offset() -> None:
    assert parse_query(since="2026-11-01").since_s() == NOVEMBER_S
    assert parse_query(since="2026-11-01T01:00+01:00", until="2026-11-01T12:00Z").since_s() == NOVEMBER_S
    assert parse_query(since="0001-01-01T00:00+23:59").since_s() == 0.0
    assert parse_query(until="2026-11-01T12:00").until_s() == NOVEMBER_S + 43_200


@pytest.mark.parametrize(
    ("day", "zone", "begins"),
    [
        ("2026-11-01", "America/New_York", "2026-11-01T04:00Z"),
        # Summer time has ended on that day.
        ("2026-11-02", "America/New_York", "2026-11-02T05:00Z"),
        ("2026-03-29", "Europe/Berlin", "2026-03-28T23:00Z"),
        ("2026-03-30", "Europe/Berlin", "2026-03-29T22:00Z"),
        ("2026-12-01", "Asia/Kathmandu", "2026-11-30T18:15Z"),
        # The clocks are set forward at midnight, so that this day begins at one.
        ("2026-04-24", "Africa/Cairo", "2026-04-23T22:00Z"),
        # They are set back at one, so that this day has two midnights.
        ("2026-11-01", "America/Havana", "2026-11-01T04:00Z"),
    ],
)
def test_a_day_of_one_tenant_begins_at_its_own_midnight(day: str, zone: str, begins: str) -> None:
    query, begins_s = parse_query(tenant_id="acme", since=day), dt.datetime.fromisoformat(begins).timestamp()
    assert query.since_s(zone) == begins_s
    assert [day_of(at_s, zone) < day for at_s in (begins_s - 1, begins_s)] == [True, False]
    assert parse_query(tenant_id="acme", since=f"{day}T00:00Z").since_s(zone) == query.since_s()


def test_groupings_without_a_repetition_name_their_columns() -> None:
    assert parse_query().columns == ("tenant_id", "service", "model")
    assert parse_query(["service", "model", "service"]).columns == ("tenant_id", "service", "model")
    assert parse_query(["room", "participant"]).columns == ("tenant_id", "room", "participant")


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"by": ["colour"]}, "by"),
        ({"since": "yesterday"}, "since"),
        ({"until": "1970-01-01"}, "until"),
        ({"since": "2026-11-02", "until": "2026-11-01"}, "until"),
    ],
)
def test_a_wrong_parameter_is_named(values: dict[str, object], param: str) -> None:
    with pytest.raises(BadInput) as raised:
        parse_query(**values)  # type: ignore[arg-type]
    assert raised.value.param == param and raised.value.message.startswith(f"{param}: ")


def test_a_cursor_is_plain_in_a_url_and_returns_its_key() -> None:
    key = ("acme", 20_758, "tenant_acme_Überblick?&=")
    cursor = encode_cursor(key)
    assert cursor.replace("-", "").replace("_", "").isalnum() and cursor.isascii()
    assert decode_cursor(cursor, DAILY) == key


def _of(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        *(
            "",
            "?",
            "x",
            "Ümläut",
            "A" * 9_000,
            _of("{}"),
            _of("[" * 5_000),
            _of('["acme", 1]'),
            _of('["acme", "1", "r"]'),
        ),
        *(_of('["acme", 1, 2]'), _of('["acme", -1, "r"]'), _of('["acme", true, "r"]'), _of('["acme", 1e9, "r"]')),
    ],
)
def test_a_text_that_is_no_cursor_of_the_query_is_refused(cursor: str) -> None:
    with pytest.raises(BadInput, match="cursor: "):
        decode_cursor(cursor, DAILY)
