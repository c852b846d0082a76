"""The messages of the cost transport: batches of entries, their replies, and call records, as JSON.

Every message names the fields of its rows, so that neighbouring versions understand each other: a field that the
receiver lacks is ignored, and one that the sender lacks takes its default.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, TypeVar

from cluster.costs.models import Entry, Receipt
from routing.errors import BudgetExceeded, CostsUnavailable, RoomClosed
from routing.models import CallRecord, Intent, Outcome, Settlement, Usage

T = TypeVar("T")
Row = Intent | Settlement | CallRecord

WIRE_VERSION = 2
"""Raised by a change that a neighbouring version could not read; both ends name theirs in the handshake."""

_KINDS: dict[str, type[Row]] = {"intent": Intent, "settlement": Settlement, "record": CallRecord}
_INDEX: dict[type[Row], int] = {kind: index for index, kind in enumerate(_KINDS.values())}
_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in _INDEX}
_VALUES_OF = {kind: attrgetter(*names) for kind, names in _FIELDS.items()}
_UNITS = frozenset(field.name for field in fields(Usage))
_dump = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
# A row starts with the index of its kind. The names stand once in a message: in each row they would be half of it.
_HEAD = f'{{"kinds":{_dump([[name, _FIELDS[kind]] for name, kind in _KINDS.items()])},"rows":'
_HEAD_BYTES = _HEAD.encode()
_USAGE_AT = {kind: 1 + names.index("usage") for kind, names in _FIELDS.items() if "usage" in names}


class BadMessage(ValueError):
    """A message cannot be decoded. The error never quotes its content, which may hold tenant data."""


def pack_entries(entries: Iterable[Row]) -> bytes:
    """Encode entries or call records as rows of values under one list of field names."""
    return f"{_HEAD}{_dump([_row(entry) for entry in entries])}}}".encode()


def unpack_entries(message: bytes) -> list[Row]:
    """Decode a message of entries or call records; raises BadMessage."""
    return _read(message, _rows)


def pack_receipts(receipts: Sequence[Receipt]) -> bytes:
    """Encode receipts: a number, the facts of a BudgetExceeded, or null for a room that was closed."""
    return _dump([_receipt_row(receipt) for receipt in receipts]).encode()


def pack_refusal(refusal: CostsUnavailable) -> bytes:
    """Encode the reply to a batch of which no entry was written."""
    return _dump({"retry_after_s": refusal.retry_after_s}).encode()


def unpack_receipts(message: bytes) -> list[Receipt]:
    """Decode a message of receipts; raises CostsUnavailable when it is a refusal, or BadMessage."""
    return _read(message, _receipts)


def _row(entry: Row) -> list[Any]:
    kind = type(entry)
    row = [_INDEX[kind], *_VALUES_OF[kind](entry)]
    if kind is not Intent:
        row[_USAGE_AT[kind]] = row[_USAGE_AT[kind]].nonzero()
    return row


def _rows(message: bytes) -> list[Row]:
    if message.startswith(_HEAD_BYTES):
        # The sender has this version's fields: its list of them need not be parsed.
        return [_OWN_DECODERS[row[0]](row) for row in json.loads(message[len(_HEAD_BYTES) : -1])]
    parsed = json.loads(message)
    decoders = [_decoder(_KINDS[name], names) for name, names in parsed["kinds"]]
    return [decoders[row[0]](row) for row in parsed["rows"]]


def _decoder(kind: type[Row], sent_names: Sequence[str]) -> Callable[[list[Any]], Row]:
    """Return the function from a row, with its values in the sender's order, to the entry."""
    names = ("kind", *sent_names)
    unknown = [name for name in names if name not in _FIELDS[kind]]

    def decode(row: list[Any]) -> Row:
        values = dict(zip(names, row, strict=True))
        for name in unknown:
            del values[name]
        if "usage" in values:
            values["usage"] = _usage(values["usage"])
        if "outcome" in values:
            values["outcome"] = Outcome(values["outcome"])
        return kind(**values)

    return decode


def _usage(units: dict[str, int]) -> Usage:
    return Usage(**units) if units.keys() <= _UNITS else Usage(**{unit: units[unit] for unit in units.keys() & _UNITS})


_OWN_DECODERS = [_decoder(kind, _FIELDS[kind]) for kind in _INDEX]


def _receipts(message: bytes) -> list[Receipt]:
    answer = json.loads(message)
    if isinstance(answer, dict):
        raise CostsUnavailable(retry_after_s=answer["retry_after_s"])
    return [_receipt(row) for row in answer]


def _receipt_row(receipt: Receipt) -> Any:
    if isinstance(receipt, RoomClosed):
        return None
    return receipt.facts if isinstance(receipt, BudgetExceeded) else receipt


def _receipt(row: Any) -> Receipt:
    if row is None:
        return RoomClosed(param="authorization")
    return row if isinstance(row, int) else BudgetExceeded(**row)


def _read(message: bytes, of: Callable[[bytes], T]) -> T:
    try:
        return of(message)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise BadMessage("a message cannot be decoded") from None
