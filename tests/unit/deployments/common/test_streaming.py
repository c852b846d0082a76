"""Deltas: the first goes at once, the next are joined, and none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from deployments.common.streaming import coalesce, first_within
from routing.errors import ProviderTimeout
from routing.models import Delta, Usage

FOREVER_S = 3_600.0


class Words:
    """A stream of words with pauses, that says whether it was closed."""

    def __init__(self, *steps: str | float) -> None:
        self.steps = steps
        self.closed = False

    async def __call__(self) -> AsyncGenerator[Delta, None]:
        try:
            for step in self.steps:
                if isinstance(step, str):
                    yield Delta(text=step)
                else:
                    await asyncio.sleep(step)
            yield Delta(finish="stop", usage=Usage(output_tokens=3))
        finally:
            self.closed = True


async def test_the_first_delta_goes_alone_and_the_rest_of_its_window_together() -> None:
    joined = [delta async for delta in coalesce(Words("a", 0.0, "b", 0.0, "c")(), window_s=FOREVER_S)]
    assert [delta.text for delta in joined] == ["a", "bc"]
    assert joined[-1].finish == "stop" and joined[-1].usage == Usage(output_tokens=3)


async def test_what_is_held_leaves_when_its_window_ends_though_nothing_follows() -> None:
    stream = coalesce(Words("a", 0.0, "b", FOREVER_S)(), window_s=0.01)
    assert [(await anext(stream)).text for _ in range(2)] == ["a", "b"]
    await stream.aclose()


async def test_a_sentence_leaves_when_the_next_one_begins() -> None:
    stream = coalesce(Words("It", 0.0, " says 3.5", " in all.", " And", 0.0, " then", FOREVER_S)(), window_s=FOREVER_S)
    assert [(await anext(stream)).text for _ in range(2)] == ["It", " says 3.5 in all. And"]
    await stream.aclose()


async def test_a_reader_who_stops_closes_the_source() -> None:
    words = Words("a", FOREVER_S)
    stream = coalesce(words(), window_s=FOREVER_S)
    await anext(stream)
    await stream.aclose()
    assert words.closed


async def test_an_error_of_the_source_comes_through_after_what_was_said() -> None:
    async def broken() -> AsyncGenerator[Delta, None]:
        yield Delta(text="a")
        raise ProviderTimeout()

    said = []
    with pytest.raises(ProviderTimeout):
        async for delta in coalesce(broken()):
            said.append(delta.text)
    assert said == ["a"]


async def test_a_first_delta_that_is_late_is_a_timeout_and_closes_the_source() -> None:
    words = Words(FOREVER_S, "a")
    with pytest.raises(ProviderTimeout):
        await anext(first_within(words(), 0.01))
    assert words.closed


async def test_later_deltas_have_no_such_deadline() -> None:
    said = [delta.text async for delta in first_within(Words("a", 0.05, "b")(), 0.02)]
    assert said == ["a", "b", ""]
