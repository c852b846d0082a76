"""Write embeddings as OpenAI's clients parse them, in parts: two million numbers take a second of the event loop."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator, Iterator
from itertools import islice

from routing.models import EmbeddingResult

NUMBERS_A_PART = 16_384
"""Each part takes some 8 ms as text (2 shared cores, 2026-11-30); other requests go on between two parts."""


def embedding_parts(result: EmbeddingResult, cost_nanousd: int, encoding: str) -> Iterator[bytes]:
    """Yield the body of an embedding response; `encoding` is OpenAI's: "float" or "base64"."""
    yield b'{"object":"list","model":' + json.dumps(result.model).encode() + b',"data":['
    rows = (_row(index, vector, encoding) for index, vector in enumerate(result.vectors))
    rows_a_part = max(1, NUMBERS_A_PART // max(1, len(result.vectors[0]) if result.vectors else 1))
    separator = b""
    while part := list(islice(rows, rows_a_part)):
        yield separator + b",".join(part)
        separator = b","
    tokens = result.usage.input_tokens if result.usage else 0
    ending = {
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "rayroom": {"cost_nanousd": cost_nanousd, "simulated": result.simulated},
    }
    yield b"]," + json.dumps(ending).encode()[1:]


async def paced(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the parts, and let other tasks run between two of them."""
    for part in parts:
        yield part
        await asyncio.sleep(0)


def _row(index: int, vector: tuple[float, ...], encoding: str) -> bytes:
    embedding = _packed(vector) if encoding == "base64" else json.dumps(vector).encode()
    return b'{"object":"embedding","index":%d,"embedding":%b}' % (index, embedding)


def _packed(vector: tuple[float, ...]) -> bytes:
    """Return a vector as OpenAI's base64 encoding: little-endian 32-bit floats."""
    return b'"' + base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)) + b'"'
