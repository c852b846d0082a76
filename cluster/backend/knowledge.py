"""Puts a question to a knowledge base into a URL, and takes from the answer what is the tenant's. Knows no wire."""

from __future__ import annotations

import json
import math
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import structlog

from cluster.backend.serialization import sendable
from routing.errors import BackendRefused
from routing.models import Passage

LONGEST_BY_GET = (7_900, 13_000)
"""What a URL may hold, in bytes: proxies take a request line of 8 KiB, Node one of 16 KiB with all headers."""
FEWEST_CHARS = 200
"""What is to be left of a question's words to stay below the first of them."""
DECIMALS = 4
"""Of a unit vector's numbers: they turn it by less than a tenth of a degree, and 1,024 of them fit a URL."""

TENANT_KEYS = ("tenantId", "tenant_id")
"""Of a passage or its `metadata`; `tenant`, a text or an object with an `id`, says it too."""

Wanted = dict[str, Any]
log = structlog.get_logger()


def question(tenant_id: str, query: str, embedding: Sequence[float], top_k: int) -> Wanted:
    """Return what knowledge.search is asked."""
    numbers = [round(value, DECIMALS) for value in embedding]
    return {"tenantId": tenant_id, "query": query, "embedding": numbers, "topK": top_k}


def encoded(value: Mapping[str, Any]) -> str:
    """Return a query's input as its URL holds it, with as little escaped as may be."""
    return quote(json.dumps(value, ensure_ascii=False, separators=(",", ":")), safe=",:")


def fits(wanted: Mapping[str, Any]) -> bool:
    return len(encoded(wanted)) <= LONGEST_BY_GET[0] // 2


def shortened(wanted: Wanted, wrapped: Callable[[Wanted], Mapping[str, Any]]) -> Wanted:
    """Return a question that fits a URL: its words are cut, its vector stays whole, for it was made of all of them."""
    query: str = wanted["query"]

    def bytes_with(characters: int) -> int:
        return len(encoded(wrapped(wanted | {"query": query[:characters]})))

    longest = LONGEST_BY_GET[bytes_with(FEWEST_CHARS) > LONGEST_BY_GET[0]]
    if bytes_with(len(query)) <= longest:
        return wanted
    return wanted | {"query": query[: max(0, bisect_right(range(len(query)), longest, key=bytes_with) - 1)]}


def own_passages(tenant_id: str, data: Any, top_k: int) -> tuple[Passage, ...]:
    """Return the first `top_k` of an answer's passages that say something, each once, and all of them the tenant's.

    Another tenant's is dropped even when the backend itself sends it. Raises BackendRefused for an answer that is
    something else.
    """
    rows = [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []
    if not isinstance(data, list) or (data and not rows):
        raise BackendRefused("knowledge.search: the answer is not a list of passages.")
    own = [row for row in rows if all(name == tenant_id for name in _tenants(row))]
    if len(own) < len(rows):
        log.error("passage of another tenant dropped", tenant=tenant_id, passages=len(rows) - len(own))
    found = _each_once(map(_passage, own))
    useless = len(data) - len(rows) + len(own) - len(found)
    if useless:
        log.warning("passages without a use dropped", tenant=tenant_id, passages=useless)
    return found[:top_k]


def _tenants(row: Mapping[str, Any]) -> list[Any]:
    """Return everything that a row says of whose it is; a row that says nothing is of the tenant that was asked for."""
    tenant = row.get("tenant")
    said = [*_values(row, TENANT_KEYS), *_values(row.get("metadata"), TENANT_KEYS), *_values(tenant, ("id",))]
    return said if "tenant" not in row or isinstance(tenant, dict) else [*said, tenant]


def _values(place: Any, keys: Iterable[str]) -> list[Any]:
    return [place[key] for key in keys if key in place] if isinstance(place, dict) else []


def _each_once(passages: Iterable[Passage]) -> tuple[Passage, ...]:
    """Return the passages that can be read; the same words of the same source are one, the first."""
    found: dict[tuple[str, str], Passage] = {}
    for passage in passages:
        if any(unicodedata.category(char)[0] in "LNPS" for char in passage.text):
            found.setdefault((passage.source, passage.text), passage)
    return tuple(found.values())


def _passage(row: Mapping[str, Any]) -> Passage:
    return Passage(
        passage_id=_text(row.get("id")),
        source=_text(row.get("source")),
        text=_text(row.get("text")),
        score=_score(row.get("score")),
    )


def _text(value: Any) -> str:
    return sendable(value) if isinstance(value, str) else ""


def _score(value: Any) -> float | None:
    """Return a score as a number; what is none says nothing, and nothing is not the worst."""
    try:
        score = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return score if math.isfinite(score) else None
