"""The messages of the cost transport: batches of entries and their replies, as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, TypeVar

from cluster.costs.models import Entry, Receipt
from routing.errors import BudgetExceeded, CostsUnavailable, RoomClosed
from routing.models import Intent, Outcome, Settlement, Usage

T = TypeVar("T")

_INTENT, _SETTLEMENT = (tuple(one.name for one in fields(kind)) for kind in (Intent, Settlement))
_of_intent, _of_settlement = attrgetter(*_INTENT), attrgetter(*_SETTLEMENT)
_dump = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class BadMessage(ValueError):
    """A message cannot be decoded. The error never quotes its content, which may hold tenant data."""


def pack_entries(entries: Sequence[Entry]) -> bytes:
    """Encode entries as JSON rows of values in the order of their fields: the names would be half of every message."""
    return _dump([_row(entry) for entry in entries]).encode()


def unpack_entries(message: bytes) -> list[Entry]:
    """Decode a message of entries; raises BadMessage."""
    return _read(message, lambda rows: [_entry(row) for row in rows])


def pack_receipts(receipts: Sequence[Receipt]) -> bytes:
    """Encode receipts: a number, the facts of a BudgetExceeded, or null for a room that was closed."""
    return _dump([_receipt_row(receipt) for receipt in receipts]).encode()


def pack_refusal(refusal: CostsUnavailable) -> bytes:
    """Encode the reply to a batch of which no entry was written."""
    return _dump({"retry_after_s": refusal.retry_after_s}).encode()


def unpack_receipts(message: bytes) -> list[Receipt]:
    """Decode a message of receipts; raises CostsUnavailable when it is a refusal, or BadMessage."""
    return _read(message, _receipts)


def _row(entry: Entry) -> list[Any]:
    if isinstance(entry, Intent):
        return list(_of_intent(entry))
    return [value.nonzero() if isinstance(value, Usage) else value for value in _of_settlement(entry)]


def _entry(row: list[Any]) -> Entry:
    if len(row) == len(_INTENT):
        return Intent(**dict(zip(_INTENT, row, strict=True)))
    values = dict(zip(_SETTLEMENT, row, strict=True))
    return Settlement(**{**values, "outcome": Outcome(values["outcome"]), "usage": Usage(**values["usage"])})


def _receipts(answer: Any) -> list[Receipt]:
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


def _read(message: bytes, of: Callable[[Any], T]) -> T:
    try:
        return of(json.loads(message))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise BadMessage("a message cannot be decoded") from None
