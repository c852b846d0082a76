"""Parse JSON of bounded cost: the number of its values is checked before any of them is built."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic_core import from_json

from routing.errors import BadInput

# The parser holds the interpreter's lock until it ends. These limits keep it within 30 ms (2 shared cores, 2026-11-30),
# while the same 3.5 MB take 1 s as empty lists, and 0.8 s as the keys of one object.
MAX_CONTAINERS = 15_000
MAX_KEYS = 30_000
MAX_STRINGS = 60_000
MAX_VALUES = 350_000


def parse_json(text: bytes, param: str = "body") -> Any:
    """Return the value of a JSON text; raises BadInput if it is none, or holds more values than the limits.

    Its depth is bounded by the parser, at 200 levels.
    """
    if len(text) > MAX_CONTAINERS and _exceeds(text) and _exceeds(_without_strings(text)):
        raise BadInput(f"{param}: holds too many values.", param)
    try:
        return from_json(text)
    except ValueError as error:
        raise BadInput(f"{param}: Invalid JSON: {error}.", param) from None


def count_of(text: bytes, character: str) -> int:
    """Return how often an ASCII character occurs: in a third of the time of `bytes.count`, which reads byte by byte."""
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord(character)))


def _exceeds(text: bytes) -> bool:
    return (
        count_of(text, "{") + count_of(text, "[") > MAX_CONTAINERS
        or count_of(text, ":") > MAX_KEYS
        or count_of(text, '"') > 2 * MAX_STRINGS
        or count_of(text, ",") > MAX_VALUES
    )


def _without_strings(text: bytes) -> bytes:
    """Return a JSON text with empty strings: the commas and brackets in their contents are no structure."""
    bare = text.replace(rb"\\", b"").replace(rb"\"", b"")
    # To split it at more quotes would cost more than the limits allow.
    return bare if bare.count(b'"') > 2 * MAX_STRINGS else b'""'.join(bare.split(b'"')[::2])
