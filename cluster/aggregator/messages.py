"""The messages of the cost transport: batches of entries, their replies, and call records, as JSON.

Every message names the fields of its rows, so that neighbouring versions understand each other: a field that the
receiver lacks is ignored, and one that the sender lacks takes its default.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Generic, TypeVar

from cluster.costs.models import Entry, Receipt
from routing.errors import BudgetExceeded, CostsUnavailable, RoomClosed
from routing.models import CallRecord, Intent, Outcome, Settlement, Spending, Usage

T = TypeVar("T")
R = TypeVar("R")

WIRE_VERSION = 2
"""Raised by a change that a neighbouring version could not read; both ends name theirs in the handshake."""

_UNITS = frozenset(field.name for field in fields(Usage))
_dump = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class BadMessage(ValueError):
    """A message cannot be decoded. The error never quotes its content, which may hold tenant data."""


def understands(version: str | None) -> bool:
    """Return whether the wire version that a peer names is this one or a neighbour of it."""
    return version is not None and version.isdecimal() and abs(int(version[:9]) - WIRE_VERSION) <= 1


def pack_entries(entries: Iterable[Entry]) -> bytes:
    """Encode entries as rows of values under one list of field names."""
    return _ENTRIES.pack(entries)


def unpack_entries(message: bytes) -> list[Entry]:
    """Decode a message of entries; raises BadMessage."""
    return _read(message, _ENTRIES.unpack)


def pack_records(records: Iterable[CallRecord]) -> bytes:
    """Encode call records as rows of values under one list of field names."""
    return _RECORDS.pack(records)


def unpack_records(message: bytes) -> list[CallRecord]:
    """Decode a message of call records; raises BadMessage."""
    return _read(message, _RECORDS.unpack)


def pack_receipts(receipts: Sequence[Receipt]) -> bytes:
    """Encode receipts: a list of numbers, the facts of a BudgetExceeded, or null for a room that was closed."""
    return _dump([_receipt_row(receipt) for receipt in receipts]).encode()


def pack_refusal(refusal: CostsUnavailable) -> bytes:
    """Encode the reply to a batch of which no entry was written."""
    return _dump({"retry_after_s": refusal.retry_after_s}).encode()


def unpack_receipts(message: bytes) -> list[Receipt]:
    """Decode a message of receipts; raises CostsUnavailable when it is a refusal, or BadMessage."""
    return _read(message, _receipts)


class _RowCodec(Generic[R]):
    """Encodes rows of several dataclasses. Each row starts with the index of its kind.

    The names stand once in a message: in each row they would be half of it.
    """

    def __init__(self, kinds: dict[str, type[R]]) -> None:
        self._kinds = kinds
        self._index = {kind: index for index, kind in enumerate(kinds.values())}
        self._fields = {kind: _field_names(kind) for kind in kinds.values()}
        self._values_of = {kind: attrgetter(*names) for kind, names in self._fields.items()}
        self._usage_at = {kind: 1 + names.index("usage") for kind, names in self._fields.items() if "usage" in names}
        names = _dump([[name, self._fields[kind]] for name, kind in kinds.items()])
        self._head = f'{{"kinds":{names},"rows":'
        self._head_bytes = self._head.encode()
        self._decoders = [self._decoder(kind, names) for kind, names in self._fields.items()]

    def pack(self, rows: Iterable[R]) -> bytes:
        return f"{self._head}{_dump([self._row(row) for row in rows])}}}".encode()

    def _row(self, row: R) -> list[Any]:
        kind = type(row)
        values = [self._index[kind], *self._values_of[kind](row)]
        if kind in self._usage_at:
            values[self._usage_at[kind]] = values[self._usage_at[kind]].nonzero()
        return values

    def unpack(self, message: bytes) -> list[R]:
        if message.startswith(self._head_bytes):
            # The sender has this version's fields: its list of them need not be parsed.
            return [self._decoders[row[0]](row) for row in json.loads(message[len(self._head_bytes) : -1])]
        parsed = json.loads(message)
        decoders = [self._decoder(self._kinds[name], names) for name, names in parsed["kinds"]]
        return [decoders[row[0]](row) for row in parsed["rows"]]

    def _decoder(self, kind: type[R], sent_names: Sequence[str]) -> Callable[[list[Any]], R]:
        """Return the function from a row, with its values in the sender's order, to the object."""
        names = ("kind", *sent_names)
        unknown = [name for name in names if name not in self._fields[kind]]

        def decode(row: list[Any]) -> R:
            values = dict(zip(names, row, strict=True))
            for name in unknown:
                del values[name]
            if "usage" in values:
                values["usage"] = _usage(values["usage"])
            if values.get("budget_alerts") is not None:
                values["budget_alerts"] = tuple(values["budget_alerts"])
            if "outcome" in values:
                values["outcome"] = Outcome(values["outcome"])
            return kind(**values)

        return decode


def _field_names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _usage(units: dict[str, int]) -> Usage:
    return Usage(**units) if units.keys() <= _UNITS else Usage(**{unit: units[unit] for unit in units.keys() & _UNITS})


_ENTRIES: _RowCodec[Entry] = _RowCodec({"intent": Intent, "settlement": Settlement})
_RECORDS: _RowCodec[CallRecord] = _RowCodec({"record": CallRecord})


def _receipts(message: bytes) -> list[Receipt]:
    answer = json.loads(message)
    if isinstance(answer, dict):
        raise CostsUnavailable(retry_after_s=answer["retry_after_s"])
    return [_receipt(row) for row in answer]


def _receipt_row(receipt: Receipt) -> Any:
    if isinstance(receipt, RoomClosed):
        return None
    if isinstance(receipt, BudgetExceeded):
        return receipt.facts
    return [receipt.month_nanousd, receipt.day_nanousd, receipt.room_nanousd]


def _receipt(row: Any) -> Receipt:
    if row is None:
        return RoomClosed(param="authorization")
    if isinstance(row, dict):
        return BudgetExceeded(**row)
    month, day, room = row
    return Spending(month_nanousd=month, day_nanousd=day, room_nanousd=room)


def _read(message: bytes, of: Callable[[bytes], T]) -> T:
    try:
        return of(message)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise BadMessage("a message cannot be decoded") from None
