"""Turns cost entries and their receipts into frames of bytes, and back. Knows no socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, TypeVar

from cluster.costs.commit_log import Entry, Receipt
from routing.errors import BudgetExceeded, CostsUnavailable
from routing.models import Intent, Outcome, Settlement, Usage

T = TypeVar("T")

LENGTH_BYTES = 4
MAX_FRAME_BYTES = 16 * 1024 * 1024
"""Ten times what the largest batch of an outbox comes to."""

_INTENT, _SETTLEMENT = (tuple(one.name for one in fields(kind)) for kind in (Intent, Settlement))
_of_intent, _of_settlement = attrgetter(*_INTENT), attrgetter(*_SETTLEMENT)
_dump = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class BadMessage(ValueError):
    """What arrived is no frame of ours. Says nothing of what was in it."""


def pack_entries(entries: Sequence[Entry]) -> bytes:
    """Return entries as rows of values in their fields' order: the names would be half of every frame."""
    return _dump([_row(entry) for entry in entries]).encode()


def unpack_entries(frame: bytes) -> list[Entry]:
    """Return the entries of a frame; raises BadFrame."""
    return _read(frame, lambda rows: [_entry(row) for row in rows])


def pack_receipts(receipts: Sequence[Receipt]) -> bytes:
    return _dump([one.facts if isinstance(one, BudgetExceeded) else one for one in receipts]).encode()


def pack_refusal(refusal: CostsUnavailable) -> bytes:
    """Return the answer to entries of which none was written."""
    return _dump({"retry_after_s": refusal.retry_after_s}).encode()


def unpack_receipts(frame: bytes) -> list[Receipt]:
    """Return the receipts of a frame; raises CostsUnavailable where it is a refusal, or BadFrame."""
    return _read(frame, _receipts)


class MessageReader:
    """Cuts a stream of bytes into its frames, each with its length before it."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._held = bytearray()

    def feed(self, data: bytes) -> None:
        self._held += data

    def next(self) -> bytes | None:
        """Return the next whole frame, or None where more has to come; raises BadFrame for one that is too long."""
        if len(self._held) < LENGTH_BYTES:
            return None
        size = int.from_bytes(self._held[:LENGTH_BYTES])
        if size > self.max_bytes:
            raise BadMessage("a frame is longer than it may be")
        end = LENGTH_BYTES + size
        if len(self._held) < end:
            return None
        frame = bytes(self._held[LENGTH_BYTES:end])
        del self._held[:end]
        return frame


def framed(frame: bytes) -> bytes:
    return len(frame).to_bytes(LENGTH_BYTES) + frame


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
    return [one if isinstance(one, int) else BudgetExceeded(**one) for one in answer]


def _read(frame: bytes, of: Callable[[Any], T]) -> T:
    try:
        return of(json.loads(frame))
    except (ValueError, TypeError, LookupError, AttributeError):
        raise BadMessage("a frame cannot be read") from None
