"""Google's SDK against the emulator, on both versions of its API."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from google import genai
from google.genai import errors, types

from cluster.lab.emulator import Emulator, EmulatorState, Extras, Fault, RateLimits
from tests.support.eventually import eventually
from tests.support.pictures import jpeg
from tests.support.sleep_probe import SleepProbe

MODEL = "gemini-2.5-flash-lite"
QUESTION = "what is on the screen"


def connect(emulator: Emulator, version: str | None = None) -> genai.Client:
    retries = types.HttpRetryOptions(attempts=1)
    options = types.HttpOptions(base_url=f"{emulator.url}/gemini", api_version=version, retry_options=retries)
    return genai.Client(api_key="k", http_options=options)


@pytest.fixture(params=[None, "v1beta"])
async def client(emulator: Emulator, request: pytest.FixtureRequest) -> AsyncIterator[genai.Client]:
    client = connect(emulator, request.param)
    yield client
    await client.aio.aclose()


async def whole(client: genai.Client, contents: Any = QUESTION, **config: Any) -> types.GenerateContentResponse:
    settings = types.GenerateContentConfig(**config)
    return await client.aio.models.generate_content(model=MODEL, contents=contents, config=settings)


async def streamed(client: genai.Client) -> list[types.GenerateContentResponse]:
    return [chunk async for chunk in await client.aio.models.generate_content_stream(model=MODEL, contents=QUESTION)]


def finish(response: types.GenerateContentResponse) -> types.FinishReason | None:
    assert response.candidates
    return response.candidates[0].finish_reason


async def test_a_stream_holds_the_text_of_the_whole_answer(client: genai.Client) -> None:
    answer, chunks = await whole(client), await streamed(client)
    assert "".join(chunk.text or "" for chunk in chunks) == answer.text
    assert [finish(chunk) for chunk in chunks] == [None, None, None, types.FinishReason.STOP]
    assert chunks[-1].usage_metadata == answer.usage_metadata


async def test_prompt_tokens_include_cached_ones_and_candidate_tokens_exclude_thoughts(
    client: genai.Client, emulator: Emulator
) -> None:
    emulator.plan(Fault(extras=Extras(cached_tokens=100, thinking_tokens=40), answer_tokens=10))
    usage = (await whole(client)).usage_metadata
    assert usage is not None
    assert (usage.prompt_token_count, usage.cached_content_token_count) == (105, 100)
    assert (usage.candidates_token_count, usage.thoughts_token_count) == (10, 40)
    assert usage.total_token_count == 155 == emulator.journal[0].prompt_tokens + emulator.journal[0].completion_tokens


async def test_an_image_is_counted_by_its_models_rule(client: genai.Client, emulator: Emulator) -> None:
    image = types.Part.from_bytes(data=jpeg(), mime_type="image/jpeg")
    usage = (await whole(client, [image, "see"], system_instruction="be brief")).usage_metadata
    assert usage is not None and usage.prompt_token_count == 258 + 1 + 2
    assert usage.prompt_tokens_details is not None
    counts = {str(row.modality): row.token_count for row in usage.prompt_tokens_details}
    assert counts["MediaModality.IMAGE"] == emulator.journal[0].image_tokens == 258


async def test_both_spellings_and_both_alphabets_are_read(emulator: Emulator) -> None:
    image = jpeg()
    plain, safe = base64.b64encode(image).decode(), base64.urlsafe_b64encode(image).decode().rstrip("=")
    parts = [
        {"inline_data": {"mime_type": "image/jpeg", "data": plain}},
        {"inlineData": {"mimeType": "image/jpeg", "data": safe}},
    ]
    assert plain != safe
    async with aiohttp.ClientSession() as session:
        url = f"{emulator.url}/gemini/v1beta/models/{MODEL}:generateContent?key=k"
        async with session.post(url, json={"contents": [{"parts": parts}]}) as response:
            body = await response.json()
    assert body["usageMetadata"]["promptTokenCount"] == 2 * 258 and emulator.journal[0].images == 2


async def test_an_answer_longer_than_allowed_ends_with_max_tokens(client: genai.Client) -> None:
    answer = await whole(client, max_output_tokens=3)
    assert finish(answer) == types.FinishReason.MAX_TOKENS and answer.text == "This is the"


ERRORS: dict[str, tuple[Fault, type[errors.APIError], str]] = {
    "bad request": (Fault(status=400), errors.ClientError, "INVALID_ARGUMENT"),
    "forbidden": (Fault(status=403), errors.ClientError, "PERMISSION_DENIED"),
    "no model": (Fault(status=404), errors.ClientError, "NOT_FOUND"),
    "server error": (Fault(status=500), errors.ServerError, "INTERNAL"),
    "overloaded": (Fault(status=503), errors.ServerError, "UNAVAILABLE"),
    "deadline": (Fault(status=504), errors.ServerError, "DEADLINE_EXCEEDED"),
}


@pytest.mark.parametrize("name", ERRORS)
async def test_an_error_is_of_the_vendors_own_type(name: str, client: genai.Client, emulator: Emulator) -> None:
    fault, kind, status = ERRORS[name]
    emulator.plan(fault, vendor="gemini")
    with pytest.raises(kind) as failed:
        await whole(client)
    assert (failed.value.code, failed.value.status) == (fault.status, status)


async def test_a_bad_key_is_an_invalid_argument_with_its_reason(client: genai.Client, emulator: Emulator) -> None:
    emulator.plan(Fault(status=400, code="API_KEY_INVALID"))
    with pytest.raises(errors.ClientError) as failed:
        await whole(client)
    details = failed.value.details["error"]["details"]
    assert failed.value.status == "INVALID_ARGUMENT" and details[0]["reason"] == "API_KEY_INVALID"


async def test_a_missing_key_is_forbidden(emulator: Emulator) -> None:
    # The SDK does not start without a key, so this request is made without it.
    async with aiohttp.ClientSession() as session:
        url = f"{emulator.url}/gemini/v1/models/{MODEL}:generateContent"
        async with session.post(url, json={"contents": [{"parts": [{"text": "x"}]}]}) as response:
            assert response.status == 403 and (await response.json())["error"]["status"] == "PERMISSION_DENIED"


async def test_a_rate_limit_error_names_its_quota_and_the_time_to_wait() -> None:
    state = EmulatorState(limits=RateLimits(requests_per_minute=1), clock=lambda: 1_000.0)
    async with Emulator(state).running() as emulator:
        client = connect(emulator)
        await whole(client)
        with pytest.raises(errors.ClientError) as failed:
            await whole(client)
        await client.aio.aclose()
    failure, retry = failed.value.details["error"]["details"]
    (violation,) = failure["violations"]
    assert failed.value.status == "RESOURCE_EXHAUSTED" and retry["retryDelay"] == "60s"
    assert violation["quotaId"] == "GenerateRequestsPerMinutePerProjectPerModel" and violation["quotaValue"] == "1"


async def test_a_daily_quota_names_a_wait_of_hours(client: genai.Client, emulator: Emulator) -> None:
    quota = "GenerateRequestsPerDayPerProjectPerModel"
    emulator.plan(Fault(status=429, code=quota, retry_after_s=7_200))
    with pytest.raises(errors.ClientError) as failed:
        await whole(client)
    failure, retry = failed.value.details["error"]["details"]
    assert failure["violations"][0]["quotaId"] == quota and retry["retryDelay"] == "7200s"


async def test_an_overload_inside_a_stream_is_a_server_error(client: genai.Client, emulator: Emulator) -> None:
    emulator.plan(Fault(overload_after_chunks=1))
    with pytest.raises(errors.ServerError) as failed:
        await streamed(client)
    assert failed.value.code == 503 and emulator.journal[0].completion_tokens == 8


async def test_a_stream_cut_short_ends_cleanly_without_its_finish_reason(
    client: genai.Client, emulator: Emulator
) -> None:
    emulator.plan(Fault(cut_after_chunks=2))
    chunks = await streamed(client)
    assert [finish(chunk) for chunk in chunks] == [None, None] and emulator.journal[0].completion_tokens == 16


async def test_a_connection_that_breaks_in_the_middle_is_an_error(client: genai.Client, emulator: Emulator) -> None:
    emulator.plan(Fault(reset_after_chunks=1))
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await streamed(client)


async def test_a_proxys_page_is_a_server_error(client: genai.Client, emulator: Emulator) -> None:
    emulator.plan(Fault(html=True))
    with pytest.raises(errors.ServerError) as failed:
        await whole(client)
    assert failed.value.code == 502


async def test_garbage_is_not_json(client: genai.Client, emulator: Emulator) -> None:
    emulator.plan(Fault(garbage=True))
    with pytest.raises(json.JSONDecodeError):
        await whole(client)


async def test_a_prompt_may_be_blocked_and_an_answer_stopped(client: genai.Client, emulator: Emulator) -> None:
    emulator.plan(Fault(refusal="refused"))
    emulator.plan(Fault(refusal="filtered"))
    blocked, stopped = await whole(client), await whole(client)
    assert blocked.candidates is None and blocked.prompt_feedback is not None
    assert blocked.prompt_feedback.block_reason == types.BlockedReason.SAFETY
    assert finish(stopped) == types.FinishReason.SAFETY and stopped.text is None


async def test_a_disconnect_is_noticed_at_once_and_recorded_with_the_tokens_sent(
    client: genai.Client, emulator: Emulator, sleep_probe: SleepProbe
) -> None:
    emulator.plan(Fault(stall_after_chunks=1))
    call = asyncio.create_task(streamed(client))
    async with asyncio.timeout(5):
        await sleep_probe.long_sleep_started.wait()
    call.cancel()
    await asyncio.wait({call})
    await eventually(lambda: emulator.journal[0].disconnected_at_s is not None, 5.0)
    (seen,) = emulator.journal
    assert seen.completion_tokens == 8
