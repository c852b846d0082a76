"""The nouns of a vendor's export: its rows, the broken ones among them, and the model names on both sides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from routing.models import Service

COST = "cost_nanousd"
EVERY_SERVICE: frozenset[Service] = frozenset({"vision", "llm", "embeddings", "stt", "tts"})
ANSWERS: frozenset[Service] = frozenset({"vision", "llm"})
# Vendors name the snapshot that served a request: gpt-4o-2024-08-06, claude-haiku-4-5-20251001, nova-3-general.
_SNAPSHOT = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2}|latest|preview(-[0-9-]+)?|general)")


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorUsage:
    """A row of an export. `amounts` are units of usage by their names here, or a cost in nano-dollars."""

    day: int
    """The UTC day, counted from 1970."""
    model: str
    """The model by the vendor's own name, or the vendor's text for what was charged."""
    amounts: Mapping[str, int]
    services: frozenset[Service] = EVERY_SERVICE
    """The services whose usage such rows count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenRow:
    """A part of an export that cannot be read."""

    place: str
    problem: str


Parsed = Iterable[VendorUsage | BrokenRow]


class ModelNames:
    """The names of one vendor's models on the bill, found in the vendor's spelling of them."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """`names` holds the vendor's name of each model by its name here; several may share one at the vendor."""
        self._vendor_names = dict(names)
        self._plain = {_plain(vendor_name): vendor_name for vendor_name in names.values()}

    def of_bill(self, model: str) -> str:
        """Return the vendor's name of a model on the bill."""
        return self._vendor_names.get(model, model)

    def of_export(self, text: str) -> str:
        """Return the vendor's name that a text of the export spells, or the text itself where it spells none.

        A snapshot counts as its model. A sentence counts as the longest name in it.
        """
        plain = _plain(text)
        for known in sorted(self._plain, key=len, reverse=True):
            rest = plain.removeprefix(known)
            if plain.startswith(known) and (not rest or _SNAPSHOT.fullmatch(rest)):
                return self._plain[known]
            if " " in text.strip() and f"-{known}-" in f"-{plain}-":
                return self._plain[known]
        return text


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
