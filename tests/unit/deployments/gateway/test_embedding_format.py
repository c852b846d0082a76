"""Vectors are written in parts that together are OpenAI's embedding response."""

from __future__ import annotations

import base64
import json
import struct

import pytest
from openai.types import CreateEmbeddingResponse

from deployments.gateway.embedding_format import NUMBERS_A_PART, embedding_parts
from routing.models import EmbeddingResult, Usage


def result(count: int, dimensions: int = 4) -> EmbeddingResult:
    vectors = tuple(tuple((index + 1) / (place + 3) for place in range(dimensions)) for index in range(count))
    return EmbeddingResult(vectors=vectors, model='a"b', usage=Usage(input_tokens=7), simulated=True)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_parts_are_one_json_document(count: int) -> None:
    body = json.loads(b"".join(embedding_parts(result(count), 5, "float")))
    parsed = CreateEmbeddingResponse.model_validate(body)
    assert [tuple(row.embedding) for row in parsed.data] == list(result(count).vectors)
    assert [row.index for row in parsed.data] == list(range(count)) and parsed.model == 'a"b'
    assert parsed.usage.prompt_tokens == 7 and body["rayroom"] == {"cost_nanousd": 5, "simulated": True}


def test_base64_holds_little_endian_floats() -> None:
    body = json.loads(b"".join(embedding_parts(result(2), 5, "base64")))
    numbers = struct.unpack("<4f", base64.b64decode(body["data"][1]["embedding"]))
    assert numbers == pytest.approx(result(2).vectors[1])


def test_no_part_holds_more_numbers_than_the_limit() -> None:
    vectors = result(40, NUMBERS_A_PART // 4)
    parts = list(embedding_parts(vectors, 5, "base64"))
    assert max(part.count(b'"embedding":') for part in parts) == 4 and len(parts) == 2 + 10
    assert len(list(embedding_parts(result(3, 2 * NUMBERS_A_PART), 5, "base64"))) == 2 + 3
