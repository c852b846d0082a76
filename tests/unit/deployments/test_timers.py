"""A stream is bounded by its timers at any speed of its reader, and ends complete or in an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest

from deployments.common.streaming import coalesce
from deployments.providers.timeouts import gathered, streamed
from deployments.providers.vendor_call import VendorCall
from routing.errors import ProviderError, ProviderTimeout, ProviderTruncated, ProviderUnreachable
from routing.models import Delta, ModelRequest, Usage

END = Delta(finish="stop", usage=Usage(output_tokens=2))


async def saying(*deltas: Delta | float | Exception) -> AsyncGenerator[Delta, None]:
    """Yield a vendor's deltas: a number is a silence in seconds, an exception a broken stream."""
    for delta in deltas:
        if isinstance(delta, float):
            await asyncio.sleep(delta)
        elif isinstance(delta, Exception):
            raise delta
        else:
            yield delta


def model_request(total_s: float = 5.0, first_s: float | None = None, between_s: float | None = None) -> ModelRequest:
    return ModelRequest(model="m", timeout_s=total_s, first_token_timeout_s=first_s, between_tokens_timeout_s=between_s)


async def received(deltas: AsyncGenerator[Delta, None], request: ModelRequest) -> list[Delta]:
    return [delta async for delta in streamed(deltas, request, lambda error: None)]


async def test_only_text_and_one_end_come_through() -> None:
    deltas = saying(Delta(usage=Usage(input_tokens=3)), Delta(text="a"), Delta(text="b", finish="stop"), END)
    assert await received(deltas, model_request()) == [Delta(text="a"), Delta(text="b"), END]


@pytest.mark.parametrize(
    ("deltas", "limits", "phase"),
    [
        ((5.0,), model_request(first_s=0.05), "first_token"),
        ((Delta(), 5.0), model_request(first_s=0.05), "first_token"),
        ((Delta(text="a"), 5.0), model_request(between_s=0.05), "stream"),
        ((Delta(text="a"), 5.0), model_request(total_s=0.05), "stream"),
    ],
)
async def test_each_timer_ends_the_attempt_in_its_phase(
    deltas: tuple[Delta | float, ...], limits: ModelRequest, phase: str
) -> None:
    with pytest.raises(ProviderTimeout) as failed:
        await received(saying(*deltas), limits)
    assert failed.value.facts["phase"] == phase


async def test_the_total_ends_a_stream_that_never_pauses_long() -> None:
    with pytest.raises(ProviderTimeout):
        deltas: list[Delta | float] = [Delta(text="a"), 0.02]
        await received(saying(*deltas * 100), model_request(total_s=0.1, between_s=1.0))


async def test_a_timer_rings_though_another_task_asks_for_each_piece() -> None:
    """The leaf's coalescing does: a timer that had begun in an earlier piece's task would stop nobody."""
    deltas = streamed(saying(Delta(text="a"), Delta(text="b"), 5.0), model_request(between_s=0.1), lambda error: None)
    with pytest.raises(ProviderTimeout):
        async with asyncio.timeout(2):
            async for _ in coalesce(deltas):
                pass


async def test_a_slow_reader_is_not_the_vendors_silence() -> None:
    texts = []
    async for delta in streamed(
        saying(Delta(text="a"), Delta(text="b"), END), model_request(between_s=0.05), lambda error: None
    ):
        texts.append(delta.text)
        await asyncio.sleep(0.1)
    assert texts == ["a", "b", ""]


async def test_a_stream_that_ends_without_its_marker_is_truncated() -> None:
    with pytest.raises(ProviderTruncated) as failed:
        await received(saying(Delta(text="a")), model_request())
    assert failed.value.facts["phase"] == "stream"


@pytest.mark.parametrize("after", [ConnectionResetError(), 5.0])
async def test_what_goes_wrong_after_the_marker_loses_the_usage_and_not_the_answer(after: Exception | float) -> None:
    deltas = saying(Delta(text="a"), Delta(finish="stop"), after)
    assert await received(deltas, model_request(between_s=0.05)) == [Delta(text="a"), Delta(finish="stop")]


async def test_what_goes_wrong_before_it_is_an_error() -> None:
    with pytest.raises(ProviderUnreachable):
        await received(saying(Delta(text="a"), ConnectionResetError()), model_request())


async def whole(
    *deltas: Delta | float | Exception, total_s: float = 5.0, call: VendorCall | None = None
) -> list[Delta]:
    async def read(add: Callable[[Delta], None]) -> None:
        async for delta in saying(*deltas):
            add(delta)

    return await gathered(read, total_s, lambda error: None, call)


async def test_a_whole_answer_has_the_pieces_and_the_one_end_of_its_stream() -> None:
    deltas = (Delta(usage=Usage(input_tokens=3)), Delta(text="a"), Delta(text="b", finish="stop"), END, Delta())
    assert await whole(*deltas) == await received(saying(*deltas), model_request())


@pytest.mark.parametrize("after", [ConnectionResetError(), 5.0])
async def test_a_whole_answer_that_fails_after_its_marker_is_complete(after: Exception | float) -> None:
    assert await whole(Delta(text="a"), Delta(finish="stop"), after, total_s=0.05) == [
        Delta(text="a"),
        Delta(finish="stop"),
    ]


@pytest.mark.parametrize(
    ("deltas", "kind", "phase"),
    [
        ((5.0,), ProviderTimeout, "first_token"),
        ((Delta(text="a"), 5.0), ProviderTimeout, "stream"),
        ((Delta(text="a"), ConnectionResetError()), ProviderUnreachable, "stream"),
        ((Delta(text="a"),), ProviderTruncated, "stream"),
        ((), ProviderTruncated, "first_token"),
    ],
)
async def test_a_whole_answer_without_its_marker_is_an_error_of_its_phase(
    deltas: tuple[Delta | float | Exception, ...], kind: type[ProviderError], phase: str
) -> None:
    call = VendorCall()
    with pytest.raises(kind) as failed:
        await whole(*deltas, total_s=0.05, call=call)
    assert failed.value.facts["phase"] == phase and call.received.begun is (phase == "stream")
