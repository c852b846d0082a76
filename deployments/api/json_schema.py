"""Check that the schemas of tools and answers are JSON Schema, at a bounded cost."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cachetools import LRUCache
from jsonschema import Draft7Validator

from deployments.api.body import MAX_NAME_CHARS
from routing.errors import BadInput

# The check takes 45 us for each object and list of a schema (2 shared cores, 2026-11-30).
MAX_CONTAINERS = 10_000
"""The most objects and lists in all schemas of a request."""
MAX_DEPTH = 40
MAX_LIST_ITEMS = 1_000
"""The most entries of one list: the check for repeated ones compares each with each."""
INLINE_CONTAINERS = 200
"""Schemas with more objects and lists are checked in a thread."""
MOST_REMEMBERED = 4_096


# Of draft 7 and not of 2020-12, whose check takes seven times as long; both have the keywords that vendors accept.
_META = Draft7Validator(Draft7Validator.META_SCHEMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSchema:
    """A schema of a request, and the path of its field."""

    path: str
    schema: Mapping[str, Any] = field(repr=False)


class SchemaCheck:
    """Checks schemas and remembers the good ones, because an agent sends the same tools with each turn."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._good: LRUCache[bytes, None] = LRUCache(most)

    async def check(self, schemas: Sequence[NamedSchema]) -> None:
        """Check the schemas of a request; raises BadInput with the path of the first wrong field."""
        digests = [_digest(named.schema) for named in schemas]
        unchecked = [named for named, digest in zip(schemas, digests, strict=True) if digest not in self._good]
        if not unchecked:
            return
        if count_containers(schemas) <= INLINE_CONTAINERS:
            check_schemas(unchecked)
        else:
            await asyncio.to_thread(check_schemas, unchecked)
        for digest in digests:
            self._good[digest] = None


def check_schemas(schemas: Iterable[NamedSchema]) -> None:
    """Raise BadInput for the first schema that is no JSON Schema."""
    for named in schemas:
        definitions = named.schema.get("$defs")
        parts = definitions.items() if isinstance(definitions, dict) else ()
        _check_one(named.path, (), named.schema)
        for name, part in parts:
            _check_one(named.path, ("$defs", name), part)


def count_containers(schemas: Iterable[NamedSchema]) -> int:
    """Return the number of objects and lists in all schemas; raises BadInput beyond a limit."""
    total = 0
    for named in schemas:
        total += _count(named)
        if total > MAX_CONTAINERS:
            raise BadInput(f"{named.path}: the schemas of a request may hold {MAX_CONTAINERS} objects.", named.path)
    return total


def _count(named: NamedSchema) -> int:
    level: list[Any] = [named.schema]
    depth = count = 0
    while level:
        depth, count = depth + 1, count + len(level)
        if depth > MAX_DEPTH:
            raise BadInput(f"{named.path}: is nested deeper than {MAX_DEPTH} levels.", named.path)
        if any(isinstance(one, list) and len(one) > MAX_LIST_ITEMS for one in level):
            raise BadInput(f"{named.path}: has a list of more than {MAX_LIST_ITEMS} entries.", named.path)
        inner = (value for one in level for value in (one.values() if isinstance(one, dict) else one))
        level = [value for value in inner if isinstance(value, dict | list)]
    return count


def _check_one(path: str, steps: Iterable[str], schema: Any) -> None:
    error = next(_META.iter_errors(schema), None)
    if error is not None:
        param = ".".join((path, *(str(step)[:MAX_NAME_CHARS] for step in (*steps, *error.absolute_path))))
        # The library's message repeats the value, which may be content.
        raise BadInput(f"{param}: is not valid JSON Schema.", param)


def _digest(schema: Mapping[str, Any]) -> bytes:
    return hashlib.blake2b(json.dumps(schema).encode(), digest_size=16).digest()
