"""A large body is parsed in a thread only if it holds many values: a picture is one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from deployments.api.body import INLINE_COMMAS, MOST_INLINE_BYTES, read_body
from deployments.api.embedding_schemas import KnowledgeSearch

PICTURE = json.dumps({"text": "x" * 100_000}).encode()
MANY_VALUES = json.dumps({"text": "x", "image": list(range(INLINE_COMMAS * 12))}).encode()
HUGE = json.dumps({"text": "x" * MOST_INLINE_BYTES}).encode()


@pytest.mark.parametrize(("body", "in_thread"), [(PICTURE, False), (MANY_VALUES, True), (HUGE, True)])
async def test_only_a_body_of_many_values_or_of_a_megabyte_takes_a_thread(
    body: bytes, in_thread: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = list[Any]()

    async def to_thread(work: Any, *arguments: Any) -> None:
        threads.append(arguments)

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    monkeypatch.setattr("deployments.api.body.parse_body", lambda kind, text: None)
    await read_body(KnowledgeSearch, body)
    assert bool(threads) is in_thread
