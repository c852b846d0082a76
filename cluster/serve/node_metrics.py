"""Fetch the Prometheus metrics of an app's nodes, and parse the lines of some of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


async def fetch_texts(http: aiohttp.ClientSession, urls: Sequence[str]) -> list[str]:
    """Return the exported text of each endpoint that answers, within the session's timeout."""
    return [text for text in await asyncio.gather(*(_text(http, url) for url in urls)) if text is not None]


def parse_samples(texts: Iterable[str], prefixes: tuple[str, ...]) -> Iterator[Sample]:
    """Yield the samples with a name that begins with one of the prefixes.

    A node exports a megabyte, most of which is Ray's own.
    """
    for text in texts:
        lines = "\n".join(line for line in text.splitlines() if line.startswith(prefixes)) + "\n"
        for family in text_string_to_metric_families(lines):
            yield from family.samples


async def _text(http: aiohttp.ClientSession, url: str) -> str | None:
    try:
        async with http.get(url) as response:
            return await response.text() if response.ok else None
    except (aiohttp.ClientError, TimeoutError):
        return None
