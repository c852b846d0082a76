"""OpenAI's SDK, its strict validation on, against the emulator."""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from cluster.lab.emulator import Emulator, EmulatorState, Extras, Fault, RateLimits
from tests.contract.openai_clients import connect
from tests.support.eventually import eventually
from tests.support.pictures import jpeg
from tests.support.sleep_probe import SleepProbe

MODEL = "gpt-6-luna"
QUESTION: list[Any] = [{"role": "user", "content": "what is on the screen"}]
UNTHINKING: dict[str, Any] = {"model": MODEL, "messages": QUESTION, "reasoning_effort": "none"}


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[openai.AsyncOpenAI]:
    async with connect(emulator) as client:
        yield client


async def streamed(client: openai.AsyncOpenAI, **more: Any) -> list[ChatCompletionChunk]:
    stream = await client.chat.completions.create(**UNTHINKING | {"stream": True} | more)
    async with stream:
        return [chunk async for chunk in stream]


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


async def test_a_stream_holds_the_text_of_the_whole_answer(client: openai.AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(**UNTHINKING)
    chunks = await streamed(client)
    assert text_of(chunks) == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks][-1] == whole.choices[0].finish_reason == "stop"


async def test_a_stream_ends_with_its_usage_only_where_the_request_includes_it(client: openai.AsyncOpenAI) -> None:
    without_usage = await streamed(client)
    with_usage = await streamed(client, stream_options={"include_usage": True})
    assert all(chunk.usage is None for chunk in [*without_usage, *with_usage[:-1]])
    assert with_usage[-1].choices == [] and with_usage[-1].usage is not None and with_usage[-1].usage.prompt_tokens == 5


async def test_prompt_tokens_include_cached_ones_and_completion_tokens_include_reasoning(
    client: openai.AsyncOpenAI, emulator: Emulator
) -> None:
    emulator.plan(Fault(extras=Extras(cached_tokens=100, thinking_tokens=40), answer_tokens=10))
    usage = (await client.chat.completions.create(**UNTHINKING)).usage
    assert usage is not None and usage.prompt_tokens_details and usage.completion_tokens_details
    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens) == (105, 100)
    assert (usage.completion_tokens, usage.completion_tokens_details.reasoning_tokens) == (50, 40)
    (seen,) = emulator.journal
    assert (seen.prompt_tokens, seen.cached_tokens, seen.completion_tokens) == (105, 100, 50)


async def test_an_image_is_counted_by_its_models_rule(client: openai.AsyncOpenAI, emulator: Emulator) -> None:
    url = "data:image/jpeg;base64," + base64.b64encode(jpeg(632, 100)).decode()
    content: Any = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": url}}]
    answer = await client.chat.completions.create(**UNTHINKING | {"messages": [{"role": "user", "content": content}]})
    assert answer.usage is not None and answer.usage.prompt_tokens == 1 + 20 * 4 * 12 // 10
    assert emulator.journal[0].images == 1 and emulator.journal[0].image_px == 63_200


async def test_an_answer_longer_than_allowed_ends_with_length(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(**UNTHINKING, max_completion_tokens=3)
    assert answer.choices[0].finish_reason == "length" and answer.usage and answer.usage.completion_tokens == 3


async def test_embeddings_are_unit_vectors_of_the_requested_size(client: openai.AsyncOpenAI) -> None:
    texts = ["one two", "three"]
    result = await client.embeddings.create(model="any", input=texts, dimensions=64, encoding_format="float")
    # Without an encoding the SDK requests base64 and unpacks it, which its strict validation does not foresee.
    unpacked = await client.with_options(_extra_kwargs={"_strict_response_validation": False}).embeddings.create(
        model="any", input=texts, dimensions=64
    )
    assert [math.hypot(*row.embedding) for row in result.data] == pytest.approx([1.0, 1.0])
    assert unpacked.data[1].embedding == pytest.approx(result.data[1].embedding, abs=1e-6)
    assert len(result.data[0].embedding) == 64 and result.usage.prompt_tokens == 3


ERRORS: dict[str, tuple[Fault, type[openai.APIStatusError], str]] = {
    "bad request": (Fault(status=400, code="context_length_exceeded"), openai.BadRequestError, "invalid_request_error"),
    "bad key": (Fault(status=401), openai.AuthenticationError, "invalid_request_error"),
    "no model": (Fault(status=404), openai.NotFoundError, "invalid_request_error"),
    "rate limit": (Fault(status=429), openai.RateLimitError, "requests"),
    "no credit": (Fault(status=429, code="insufficient_quota"), openai.RateLimitError, "insufficient_quota"),
    "server error": (Fault(status=500), openai.InternalServerError, "server_error"),
    "overloaded": (Fault(status=503), openai.InternalServerError, "server_error"),
}


@pytest.mark.parametrize("name", ERRORS)
async def test_an_error_is_of_the_vendors_own_type(name: str, client: openai.AsyncOpenAI, emulator: Emulator) -> None:
    fault, kind, expected_type = ERRORS[name]
    emulator.plan(fault, vendor="openai")
    with pytest.raises(kind) as failed:
        await client.chat.completions.create(**UNTHINKING)
    assert failed.value.type == expected_type and (fault.code is None or failed.value.code == fault.code)
    assert failed.value.request_id and emulator.journal[0].status == fault.status


async def test_a_rate_limit_error_holds_the_remainder_and_the_time_to_wait() -> None:
    state = EmulatorState(limits=RateLimits(requests_per_minute=1), clock=lambda: 1_000.0)
    async with Emulator(state).running() as emulator, connect(emulator) as client:
        good = await client.chat.completions.with_raw_response.create(**UNTHINKING)
        with pytest.raises(openai.RateLimitError) as failed:
            await client.chat.completions.create(**UNTHINKING)
    headers = failed.value.response.headers
    assert good.headers["x-ratelimit-remaining-requests"] == headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-reset-requests"] == "1m0s" and headers["retry-after"] == "60"
    assert failed.value.code == "rate_limit_exceeded"


async def test_the_token_limit_counts_the_longest_requested_answer() -> None:
    async with Emulator(EmulatorState(limits=RateLimits(tokens_per_minute=100))).running() as emulator:
        async with connect(emulator) as client:
            with pytest.raises(openai.RateLimitError) as failed:
                await client.chat.completions.create(**UNTHINKING, max_completion_tokens=96)
    assert failed.value.type == "tokens"


async def test_a_model_that_the_emulator_does_not_serve_is_not_found() -> None:
    async with Emulator(EmulatorState(models=frozenset({"other"}))).running() as emulator, connect(emulator) as client:
        with pytest.raises(openai.NotFoundError) as failed:
            await client.chat.completions.create(**UNTHINKING)
    assert failed.value.code == "model_not_found"


async def test_a_missing_key_is_refused(emulator: Emulator) -> None:
    async with connect(emulator) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(**UNTHINKING, extra_headers={"Authorization": openai.Omit()})


async def test_an_overload_inside_a_stream_is_an_error_without_a_status(
    client: openai.AsyncOpenAI, emulator: Emulator
) -> None:
    emulator.plan(Fault(overload_after_chunks=2))
    with pytest.raises(openai.APIError) as failed:
        await streamed(client)
    assert failed.value.code == "server_is_overloaded" and not isinstance(failed.value, openai.APIStatusError)
    assert (emulator.journal[0].status, emulator.journal[0].completion_tokens) == (200, 2)


async def test_a_stream_cut_short_ends_cleanly_without_its_finish_marker(
    client: openai.AsyncOpenAI, emulator: Emulator
) -> None:
    emulator.plan(Fault(cut_after_chunks=3))
    chunks = await streamed(client)
    assert len(text_of(chunks).split()) == 3 and all(chunk.choices[0].finish_reason is None for chunk in chunks)


@pytest.mark.parametrize("fault", [Fault(reset_after_chunks=2), Fault(reset_after_bytes=500)], ids=["chunks", "bytes"])
async def test_a_connection_that_breaks_is_an_error_of_the_connection(
    fault: Fault, client: openai.AsyncOpenAI, emulator: Emulator
) -> None:
    emulator.plan(fault)
    with pytest.raises(Exception, match=r"(?i)connection|payload|reset|disconnected"):
        await streamed(client)
    assert emulator.journal[0].disconnected_at_s is None


async def test_a_proxys_page_is_an_internal_server_error(client: openai.AsyncOpenAI, emulator: Emulator) -> None:
    emulator.plan(Fault(html=True))
    with pytest.raises(openai.InternalServerError) as failed:
        await client.chat.completions.create(**UNTHINKING)
    assert failed.value.status_code == 502 and "<html>" in failed.value.response.text


async def test_garbage_is_not_json(client: openai.AsyncOpenAI, emulator: Emulator) -> None:
    emulator.plan(Fault(garbage=True), times=2)
    with pytest.raises(json.JSONDecodeError):
        await client.chat.completions.create(**UNTHINKING)
    with pytest.raises(json.JSONDecodeError):
        await streamed(client)


async def test_a_model_may_refuse_and_a_content_filter_may_end_an_answer(
    client: openai.AsyncOpenAI, emulator: Emulator
) -> None:
    emulator.plan(Fault(refusal="refused"))
    emulator.plan(Fault(refusal="filtered"))
    refused, filtered = [(await client.chat.completions.create(**UNTHINKING)).choices[0] for _ in range(2)]
    assert refused.message.refusal == "I cannot help with that." and refused.message.content is None
    assert filtered.finish_reason == "content_filter" and filtered.message.content is None


async def test_an_empty_answer_is_an_answer(client: openai.AsyncOpenAI, emulator: Emulator) -> None:
    emulator.plan(Fault(empty=True))
    answer = await client.chat.completions.create(**UNTHINKING)
    assert answer.choices[0].message.content == "" and answer.choices[0].finish_reason == "stop"


async def test_a_disconnect_is_noticed_at_once_and_recorded_with_the_tokens_sent(
    client: openai.AsyncOpenAI, emulator: Emulator, sleep_probe: SleepProbe
) -> None:
    emulator.plan(Fault(stall_after_chunks=4))
    call = asyncio.create_task(streamed(client))
    async with asyncio.timeout(5):
        await sleep_probe.long_sleep_started.wait()
    call.cancel()
    await asyncio.wait({call})
    # The stall itself lasts far longer.
    await eventually(lambda: emulator.journal[0].disconnected_at_s is not None, 5.0)
    (seen,) = emulator.journal
    assert (seen.sent_tokens, seen.completion_tokens) == (4, 4)
