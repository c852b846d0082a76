"""Anthropic's SDK, its strict validation on, against the emulator."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest

from cluster.lab.emulator import Emulator, EmulatorState, Extras, Fault, RateLimits, VendorLoad
from tests.contract.anthropic_clients import connect
from tests.support.eventually import eventually
from tests.support.pictures import jpeg
from tests.support.sleep_probe import SleepProbe

MODEL = "claude-sonnet-5-5"
QUESTION: list[Any] = [{"role": "user", "content": "what is on the screen"}]
PLAIN: Any = {"type": "between_tools"}
"""The thinking of a request without tools that gets an answer of text alone."""


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with connect(emulator) as client:
        yield client


async def whole(client: anthropic.AsyncAnthropic, **more: Any) -> anthropic.types.Message:
    request: dict[str, Any] = {"model": MODEL, "messages": QUESTION, "max_tokens": 100, "thinking": PLAIN} | more
    message: anthropic.types.Message = await client.messages.create(**request)
    return message


async def streamed(client: anthropic.AsyncAnthropic, **more: Any) -> list[Any]:
    async with await client.messages.create(
        model=MODEL, messages=QUESTION, max_tokens=100, thinking=PLAIN, stream=True, **more
    ) as events:
        return [event async for event in events]


async def test_a_stream_holds_the_text_of_the_whole_answer(client: anthropic.AsyncAnthropic) -> None:
    answer = await whole(client)
    async with client.messages.stream(model=MODEL, messages=QUESTION, max_tokens=100, thinking=PLAIN) as stream:
        accumulated = await stream.get_final_message()
    first, same = accumulated.content[0], answer.content[0]
    assert first.type == same.type == "text" and first.text == same.text
    assert accumulated.stop_reason == answer.stop_reason == "end_turn" and accumulated.usage == answer.usage


async def test_input_tokens_exclude_those_read_from_and_written_to_the_cache(
    client: anthropic.AsyncAnthropic, emulator: Emulator
) -> None:
    extras = Extras(cached_tokens=100, cache_write_5m_tokens=20, cache_write_1h_tokens=3, thinking_tokens=40)
    emulator.plan(Fault(extras=extras, answer_tokens=10))
    usage = (await whole(client)).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (5, 100, 23)
    assert usage.cache_creation is not None and usage.output_tokens_details is not None
    split = usage.cache_creation.ephemeral_5m_input_tokens, usage.cache_creation.ephemeral_1h_input_tokens
    assert split == (20, 3) and (usage.output_tokens, usage.output_tokens_details.thinking_tokens) == (50, 40)
    (seen,) = emulator.journal
    assert (seen.prompt_tokens, seen.cache_write_tokens, seen.completion_tokens) == (128, 23, 50)


async def test_a_stream_reports_input_tokens_at_its_start_and_output_tokens_at_its_end(
    client: anthropic.AsyncAnthropic, emulator: Emulator
) -> None:
    first, *_, before_last, last = await streamed(client)
    assert (first.type, before_last.type, last.type) == ("message_start", "message_delta", "message_stop")
    assert first.message.usage.input_tokens == emulator.journal[0].prompt_tokens == 5
    assert first.message.usage.output_tokens == 1
    assert before_last.usage.output_tokens == emulator.journal[0].completion_tokens == 24


async def test_an_image_is_counted_by_its_models_rule(client: anthropic.AsyncAnthropic) -> None:
    source = {"type": "base64", "media_type": "image/jpeg", "data": base64.b64encode(jpeg(750, 100)).decode()}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "see"}]
    answer = await whole(client, messages=[{"role": "user", "content": content}], system="be brief")
    assert answer.usage.input_tokens == 2 + 27 * 4 + 1


async def test_data_that_is_not_an_image_is_a_bad_request(client: anthropic.AsyncAnthropic) -> None:
    source = {"type": "base64", "media_type": "image/jpeg", "data": base64.b64encode(b"no image").decode()}
    with pytest.raises(anthropic.BadRequestError):
        await whole(client, messages=[{"role": "user", "content": [{"type": "image", "source": source}]}])


async def test_an_answer_longer_than_allowed_ends_with_max_tokens(client: anthropic.AsyncAnthropic) -> None:
    answer = await whole(client, max_tokens=3)
    assert answer.stop_reason == "max_tokens" and answer.usage.output_tokens == 3


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
async def test_sampling_is_refused_from_this_version_on(name: str, client: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.BadRequestError) as failed:
        await whole(client, extra_body={name: 1})
    assert failed.value.type == "invalid_request_error"


async def test_an_older_version_accepts_the_defaults_of_sampling_and_older_models_all_of_it(
    client: anthropic.AsyncAnthropic,
) -> None:
    older: dict[str, Any] = {"extra_headers": {"anthropic-version": "2023-06-01"}}
    assert (await whole(client, extra_body={"temperature": 1, "top_p": 1}, **older)).stop_reason == "end_turn"
    for name, value in (("temperature", 0.5), ("top_p", 0.5), ("top_k", 1)):
        with pytest.raises(anthropic.BadRequestError):
            await whole(client, extra_body={name: value}, **older)
        old = {"model": "claude-haiku-4-5", "thinking": {"type": "disabled"}}
        assert (await whole(client, extra_body={name: value}, **older, **old)).stop_reason == "end_turn"


async def test_a_key_may_come_in_either_header(client: anthropic.AsyncAnthropic) -> None:
    answer = await whole(client, extra_headers={"Authorization": anthropic.Omit(), "x-api-key": "k"})
    assert answer.stop_reason == "end_turn"
    with pytest.raises(anthropic.AuthenticationError) as failed:
        await whole(client, extra_headers={"Authorization": "none"})
    assert failed.value.type == "authentication_error"


ERRORS: dict[str, tuple[Fault, type[anthropic.APIStatusError], str]] = {
    "bad request": (Fault(status=400), anthropic.BadRequestError, "invalid_request_error"),
    "bad key": (Fault(status=401), anthropic.AuthenticationError, "authentication_error"),
    "no credit": (Fault(status=402), anthropic.APIStatusError, "billing_error"),
    "forbidden": (Fault(status=403), anthropic.PermissionDeniedError, "permission_error"),
    "no model": (Fault(status=404), anthropic.NotFoundError, "not_found_error"),
    "rate limit": (Fault(status=429), anthropic.RateLimitError, "rate_limit_error"),
    "server error": (Fault(status=500), anthropic.InternalServerError, "api_error"),
    "gateway timeout": (Fault(status=504), anthropic.InternalServerError, "timeout_error"),
    "overloaded": (Fault(status=529), anthropic.InternalServerError, "overloaded_error"),
}


@pytest.mark.parametrize("name", ERRORS)
async def test_an_error_is_of_the_vendors_own_type(
    name: str, client: anthropic.AsyncAnthropic, emulator: Emulator
) -> None:
    fault, kind, expected_type = ERRORS[name]
    emulator.plan(fault, vendor="anthropic")
    with pytest.raises(kind) as failed:
        await whole(client)
    assert failed.value.type == expected_type and failed.value.status_code == fault.status
    assert failed.value.request_id and emulator.journal[0].prompt_tokens == 0


async def test_a_spend_limit_is_a_detail_of_a_rate_limit(client: anthropic.AsyncAnthropic, emulator: Emulator) -> None:
    emulator.plan(Fault(status=429, code="enforced_spend_limit_reached"))
    with pytest.raises(anthropic.RateLimitError) as failed:
        await whole(client)
    body: Any = failed.value.body
    assert body["error"]["details"] == {"error_code": "enforced_spend_limit_reached"}
    assert failed.value.type == "rate_limit_error"


async def test_a_rate_limit_error_holds_the_time_at_which_the_limit_is_restored() -> None:
    now = dt.datetime(2026, 11, 25, 12, 0, tzinfo=dt.UTC)
    state = EmulatorState(limits=RateLimits(requests_per_minute=2), clock=now.timestamp)
    async with Emulator(state).running() as emulator, connect(emulator) as client:
        await whole(client)
        await whole(client)
        with pytest.raises(anthropic.RateLimitError) as failed:
            await whole(client)
    headers = failed.value.response.headers
    assert headers["retry-after"] == "30" and headers["anthropic-ratelimit-requests-limit"] == "2"
    assert headers["anthropic-ratelimit-requests-reset"] == "2026-11-25T12:01:00Z"


async def test_too_many_concurrent_requests_overload_the_model_for_every_client() -> None:
    sleep_probe = SleepProbe()
    state = EmulatorState(load=VendorLoad(most=1), sleep=sleep_probe)
    async with Emulator(state).running() as emulator, connect(emulator) as client:
        emulator.plan(Fault(stall_after_chunks=0))
        first = asyncio.create_task(streamed(client))
        async with asyncio.timeout(5):
            await sleep_probe.long_sleep_started.wait()
        with pytest.raises(anthropic.InternalServerError) as failed:
            await whole(client)
        first.cancel()
        await asyncio.wait({first})
    assert failed.value.status_code == 529


async def test_an_overload_may_come_as_the_first_event_of_a_good_answer(
    client: anthropic.AsyncAnthropic, emulator: Emulator
) -> None:
    emulator.plan(Fault(overload_after_chunks=0))
    with pytest.raises(anthropic.APIStatusError) as failed:
        await streamed(client)
    assert (failed.value.status_code, failed.value.type) == (200, "overloaded_error")


async def test_a_stream_cut_short_ends_cleanly_without_its_stop_reason(
    client: anthropic.AsyncAnthropic, emulator: Emulator
) -> None:
    emulator.plan(Fault(cut_after_chunks=3))
    events = await streamed(client)
    assert events[-1].type == "content_block_delta"
    assert sum(event.type == "content_block_delta" for event in events) == emulator.journal[0].completion_tokens == 3


async def test_a_connection_that_breaks_in_the_middle_is_an_error(
    client: anthropic.AsyncAnthropic, emulator: Emulator
) -> None:
    emulator.plan(Fault(reset_after_chunks=2))
    with pytest.raises(Exception, match=r"(?i)connection|payload|reset|disconnected"):
        await streamed(client)
    assert emulator.journal[0].completion_tokens == 2


async def test_a_proxys_page_is_an_internal_server_error(client: anthropic.AsyncAnthropic, emulator: Emulator) -> None:
    emulator.plan(Fault(html=True))
    with pytest.raises(anthropic.InternalServerError) as failed:
        await whole(client)
    assert failed.value.status_code == 502


async def test_garbage_is_not_json(client: anthropic.AsyncAnthropic, emulator: Emulator) -> None:
    emulator.plan(Fault(garbage=True))
    with pytest.raises(json.JSONDecodeError):
        await whole(client)


async def test_a_refusal_is_a_stop_reason_without_content(client: anthropic.AsyncAnthropic, emulator: Emulator) -> None:
    emulator.plan(Fault(refusal="refused"), times=2)
    answer, events = await whole(client), await streamed(client)
    assert answer.stop_reason == "refusal" and answer.content == [] and answer.stop_details is not None
    assert events[-2].delta.stop_reason == "refusal"


async def test_a_disconnect_is_noticed_at_once_and_recorded_with_the_tokens_sent(
    client: anthropic.AsyncAnthropic, emulator: Emulator, sleep_probe: SleepProbe
) -> None:
    emulator.plan(Fault(stall_after_chunks=4))
    call = asyncio.create_task(streamed(client))
    async with asyncio.timeout(5):
        await sleep_probe.long_sleep_started.wait()
    call.cancel()
    await asyncio.wait({call})
    await eventually(lambda: emulator.journal[0].disconnected_at_s is not None, 5.0)
    (seen,) = emulator.journal
    assert seen.completion_tokens == 4
