"""Encode a knowledge query for a URL, and keep only the tenant's own passages of the answer."""

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

MAX_GET_BYTES = (7_900, 13_000)
"""The most bytes of a query in a URL: proxies accept a request line of 8 KiB, Node 16 KiB with all headers."""
MIN_QUERY_CHARS = 200
"""The query keeps at least this many characters; otherwise the second limit applies instead of the first."""
DECIMALS = 4
"""The precision of an embedding's numbers: it turns a unit vector by less than 0.1 degrees; 1,024 fit a URL."""

TENANT_KEYS = ("tenantId", "tenant_id")
"""The keys of a passage, or of its `metadata`, that name its tenant; `tenant`, a text or an object, is a third."""

SearchInput = dict[str, Any]
log = structlog.get_logger()


def search_input(tenant_id: str, query: str, embedding: Sequence[float], top_k: int) -> SearchInput:
    """Return the input of knowledge.search."""
    numbers = [round(value, DECIMALS) for value in embedding]
    return {"tenantId": tenant_id, "query": query, "embedding": numbers, "topK": top_k}


def url_encoded(value: Mapping[str, Any]) -> str:
    """Return an input URL-encoded, with as few escapes as a query string allows."""
    return quote(json.dumps(value, ensure_ascii=False, separators=(",", ":")), safe=",:")


def fits_url(search: Mapping[str, Any]) -> bool:
    """Return whether an input leaves half of a proxy's request line free; longer ones are sent by POST."""
    return len(url_encoded(search)) <= MAX_GET_BYTES[0] // 2


def shortened(search: SearchInput, wrap: Callable[[SearchInput], Mapping[str, Any]]) -> SearchInput:
    """Return an input that fits a URL: the query is cut, the vector stays whole, since it embeds the whole query."""
    query: str = search["query"]

    def bytes_with(characters: int) -> int:
        return len(url_encoded(wrap(search | {"query": query[:characters]})))

    max_bytes = MAX_GET_BYTES[bytes_with(MIN_QUERY_CHARS) > MAX_GET_BYTES[0]]
    if bytes_with(len(query)) <= max_bytes:
        return search
    return search | {"query": query[: max(0, bisect_right(range(len(query)), max_bytes, key=bytes_with) - 1)]}


def own_passages(tenant_id: str, data: Any, top_k: int) -> tuple[Passage, ...]:
    """Return the first `top_k` passages with text, without duplicates, all of them the tenant's own.

    A passage of another tenant is dropped even when the backend sends it. Raises BackendRefused for an answer that is
    not a list of passages.
    """
    rows = [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []
    if not isinstance(data, list) or (data and not rows):
        raise BackendRefused("knowledge.search: the answer is not a list of passages.")
    own = [row for row in rows if all(name == tenant_id for name in _tenants(row))]
    if len(own) < len(rows):
        log.error("passage of another tenant dropped", tenant=tenant_id, passages=len(rows) - len(own))
    usable = _without_duplicates(map(_passage, own))
    unusable = len(data) - len(rows) + len(own) - len(usable)
    if unusable:
        log.warning("unusable passages dropped", tenant=tenant_id, passages=unusable)
    return usable[:top_k]


def _tenants(row: Mapping[str, Any]) -> list[Any]:
    """Return every tenant that a row names; a row that names none belongs to the requested tenant."""
    tenant = row.get("tenant")
    names = [*_values(row, TENANT_KEYS), *_values(row.get("metadata"), TENANT_KEYS), *_values(tenant, ("id",))]
    return names if "tenant" not in row or isinstance(tenant, dict) else [*names, tenant]


def _values(mapping: Any, keys: Iterable[str]) -> list[Any]:
    return [mapping[key] for key in keys if key in mapping] if isinstance(mapping, dict) else []


def _without_duplicates(passages: Iterable[Passage]) -> tuple[Passage, ...]:
    """Return the passages with a letter, digit, punctuation or symbol; of equal source and text only the first."""
    unique: dict[tuple[str, str], Passage] = {}
    for passage in passages:
        if any(unicodedata.category(char)[0] in "LNPS" for char in passage.text):
            unique.setdefault((passage.source, passage.text), passage)
    return tuple(unique.values())


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
    """Return a score as a number, or None for an invalid one: a missing score must not rank as the worst."""
    try:
        score = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return score if math.isfinite(score) else None
