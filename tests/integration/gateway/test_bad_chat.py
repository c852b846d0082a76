"""A chat request outside the contract is refused with the field's name, without a vendor call and without cost."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from cluster.lab.emulator import Emulator
from deployments.api.app import MAX_JSON_BYTES
from deployments.api.chat.messages import MAX_IMAGES
from deployments.api.chat.schemas import MAX_MESSAGES
from deployments.common.settings import ServiceSettings, VendorSettings
from deployments.gateway.service import Gateway
from tests.support.credentials import Bearer
from tests.support.gateway import InProcessCluster, gateway_in_process, jpeg

VENDORS = ("openai", "anthropic", "gemini", "voyage")
LLM = ServiceSettings(simple=("gpt-6-luna", "gemini-3.5-flash-lite"), complex=("gpt-6.1-sol", "claude-sonnet-5-5"))
USER = [{"role": "user", "content": "Hello"}]
JPEG = "data:image/jpeg;base64," + base64.b64encode(jpeg()).decode()
PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
FUNCTION = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
URL = "messages.0.content.0.image_url.url"

Expected = tuple[int, str, str]


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator().running() as emulator:
        yield emulator


@pytest.fixture
async def gateway_and_cluster(tmp_path: Path, emulator: Emulator) -> AsyncIterator[tuple[Gateway, InProcessCluster]]:
    """A gateway with live vendors at an emulator, so that each vendor call would be seen."""
    urls = emulator.base_urls()
    live = {name: VendorSettings.model_validate({"api": name, "base_url": urls[name]}) for name in VENDORS}
    async with gateway_in_process(tmp_path, live, llm=LLM) as both:
        yield both


def user_message(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def wrong(param: str, status: int = 400, code: str = "invalid_value") -> Expected:
    return status, code, param


def unknown(param: str) -> Expected:
    return wrong(param, code="unknown_parameter")


NOT_PASSED_ON: dict[str, dict[str, Any]] = {
    "two answers": {"n": 2},
    "true answers": {"n": True},
    "sound": {"modalities": ["text", "audio"]},
    "a voice": {"audio": {"voice": "alloy", "format": "wav"}},
    "a function": {"functions": [FUNCTION]},
    "a forced function": {"function_call": {"name": "weather"}},
    "a search": {"web_search_options": {}},
    "a prediction": {"prediction": {"type": "content", "content": "x"}},
    "a longer cache": {"prompt_cache_retention": "24h"},
    "a server's sampling": {"top_k": 40},
    "a server's penalty": {"repetition_penalty": 1.1},
    "a server's template": {"chat_template_kwargs": {"enable_thinking": False}},
}

BAD: dict[str, tuple[dict[str, Any], Expected]] = {
    **{
        name: (change, wrong(next(iter(change)), 400, "unsupported_parameter"))
        for name, change in NOT_PASSED_ON.items()
    },
    "an unknown parameter": ({"colour": "red"}, unknown("colour")),
    "a parameter with an endless name": ({"x" * 9_000: 1}, unknown("x" * 64)),
    "an unknown key of a message": ({"messages": [{**USER[0], "colour": 1}]}, unknown("messages.0.colour")),
    "an unknown model": ({"model": "gpt-9"}, wrong("model", 404, "model_not_found")),
    "a model that is not configured": ({"model": "gpt-4o"}, wrong("model", 404, "model_not_found")),
    "a retired model": ({"model": "claude-3-5-sonnet"}, wrong("model", 410, "model_retired")),
    "a model for embeddings": ({"model": "voyage-multimodal-3.5"}, wrong("model")),
    "a model of no sort": ({"model": 7}, wrong("model")),
    "no messages": ({"messages": []}, wrong("messages")),
    "messages left out": ({"messages": None}, wrong("messages")),
    "513 messages": ({"messages": USER * (MAX_MESSAGES + 1)}, wrong("messages")),
    "a message that is a text": ({"messages": ["Hello"]}, wrong("messages.0")),
    "no content": ({"messages": [{"role": "user"}]}, wrong("messages.0.content")),
    "null content": ({"messages": [{"role": "user", "content": None}]}, wrong("messages.0.content")),
    "a number for content": ({"messages": [*USER, {"role": "user", "content": 7}]}, wrong("messages.1.content")),
    "an empty turn": ({"messages": [{"role": "user", "content": " "}]}, wrong("messages")),
    "no parts": (user_message(), wrong("messages")),
    "65 parts": (user_message(*[{"type": "text", "text": "x"}] * 65), wrong("messages.0.content")),
    "no role": ({"messages": [{"content": "Hello"}]}, wrong("messages.0.role")),
    "an unknown role": ({"messages": [{"role": "robot", "content": "Hello"}]}, wrong("messages.0.role")),
    "a function's answer": (
        {"messages": [{"role": "function", "name": "f", "content": "7"}]},
        wrong("messages.0.role"),
    ),
    "a tool's answer to no call": (
        {"messages": [*USER, {"role": "tool", "tool_call_id": "call_1", "content": "7"}]},
        wrong("messages.1.tool_call_id"),
    ),
    "1,000 tools": ({"tools": [{"type": "function", "function": FUNCTION}] * 1_000}, wrong("tools")),
    "an unknown part": (user_message({"type": "video_url"}), wrong("messages.0.content.0.type")),
    "sound in a part": (
        user_message({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}),
        wrong("messages.0.content.0.type"),
    ),
    "a part that is a text": (user_message("Hello"), wrong("messages.0.content.0")),
    "a text part without its text": (user_message({"type": "text"}), wrong("messages.0.content.0")),
    "an image part without its image": (
        user_message({"type": "image_url", "text": "x"}),
        wrong("messages.0.content.0"),
    ),
    "an image that is its own url": (
        user_message({"type": "image_url", "image_url": JPEG}),
        wrong(URL.removesuffix(".url")),
    ),
    "an image by http": (user_message(image("http://example.com/x.jpg")), wrong(URL)),
    "an image by https": (user_message(image("https://example.com/x.jpg")), wrong(URL)),
    "an image from the disk": (user_message(image("file:///etc/passwd")), wrong(URL)),
    "a PNG cut short": (user_message(image(PNG)), wrong(URL)),
    "an image that is no base64": (user_message(image("data:image/jpeg;base64,?")), wrong(URL)),
    "nine images": (user_message(*[image(JPEG)] * (MAX_IMAGES + 1)), wrong("messages")),
    "200,000 tokens in one text": (
        {"messages": [{"role": "user", "content": "word " * 200_000}]},
        wrong("messages.0.content"),
    ),
    "200,000 tokens in several": (
        {"messages": [{"role": "user", "content": "word " * 50_000}] * 4},
        wrong("messages", 400, "context_length_exceeded"),
    ),
    "no tokens": ({"max_tokens": 0}, wrong("max_tokens")),
    "fewer than no tokens": ({"max_tokens": -1}, wrong("max_tokens")),
    "part of a token": ({"max_tokens": 1.5}, wrong("max_tokens")),
    "no completion tokens": ({"max_completion_tokens": 0}, wrong("max_completion_tokens")),
    "more tokens than any model has": ({"max_tokens": 1_000_000}, wrong("max_tokens")),
    "more tokens than this model has": ({"model": "gpt-6-luna", "max_tokens": 200_000}, wrong("max_tokens")),
    "more tokens than this model has, in OpenAI's newer field": (
        {"model": "gpt-6-luna", "max_completion_tokens": 200_000},
        wrong("max_completion_tokens"),
    ),
    "too hot": ({"temperature": 2.1}, wrong("temperature")),
    "too cold": ({"temperature": -0.1}, wrong("temperature")),
    "a temperature in words": ({"temperature": "hot"}, wrong("temperature")),
    "an endless temperature": ({"temperature": float("inf")}, wrong("temperature")),
    "an unknown stream option": (
        {"stream": True, "stream_options": {"colour": 1}},
        unknown("stream_options.colour"),
    ),
}

BODIES: dict[str, tuple[bytes, Expected]] = {
    "nothing": (b"", wrong("body")),
    "a text": (b"Hello", wrong("body")),
    "JSON cut short": (b'{"messages": [', wrong("body")),
    "JSON that is no object": (b"[]", wrong("body")),
    "JSON that is null": (b"null", wrong("body")),
    "JSON in another encoding": (json.dumps({"messages": USER}).encode("utf-16"), wrong("body")),
    "a form": (b"model=auto&messages=Hello", wrong("body")),
    "more than the limit": (b" " * (MAX_JSON_BYTES + 1), wrong("body", 413, "too_large")),
}


def assert_refused(response: httpx.Response, expected: Expected) -> None:
    """Check that a response is OpenAI's error envelope with the expected error."""
    assert set(response.json()) == {"error"}
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == expected
    assert error["type"] == "invalid_request_error" and error["message"]


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_request_is_refused_by_name_calls_no_vendor_and_costs_nothing(
    name: str, http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster, emulator: Emulator
) -> None:
    change, expected = BAD[name]
    # Not httpx's own JSON, which cannot encode infinity.
    body = json.dumps({"model": "auto", "messages": USER} | change)
    assert_refused(await http.post("/v1/chat/completions", content=body, headers=bearer()), expected)
    assert list(emulator.journal) == [] and await cluster.events() == []


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_is_no_request_is_refused_calls_no_vendor_and_costs_nothing(
    name: str, http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster, emulator: Emulator
) -> None:
    body, expected = BODIES[name]
    assert_refused(await http.post("/v1/chat/completions", content=body, headers=bearer()), expected)
    assert list(emulator.journal) == [] and await cluster.events() == []


async def test_a_retired_model_is_refused_with_its_successors_name(http: httpx.AsyncClient, bearer: Bearer) -> None:
    body = {"model": "claude-3-5-sonnet", "messages": USER}
    error = (await http.post("/v1/chat/completions", json=body, headers=bearer())).json()["error"]
    assert error["successor"] == "claude-sonnet-5-5" and "claude-sonnet-5-5" in error["message"]


async def test_a_refusal_repeats_no_text_of_the_request(http: httpx.AsyncClient, bearer: Bearer) -> None:
    secret = "the launch code is 7291"
    for change in (user_message({"type": secret}), user_message(image(secret)), {"n": secret}, {"messages": secret}):
        response = await http.post("/v1/chat/completions", json={"messages": USER} | change, headers=bearer())
        assert response.status_code == 400 and secret not in response.text


NEUTRAL: dict[str, dict[str, Any]] = {
    "the default of each field": {
        "n": 1,
        "top_p": 1.0,
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "logit_bias": {},
        "stop": [],
        "response_format": {"type": "text"},
        "modalities": ["text"],
        "logprobs": False,
        "service_tier": "auto",
        "stream": False,
    },
    "empty lists of tools": {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "functions": []},
    "null for all that may be null": dict.fromkeys(
        ("n", "top_p", "seed", "stop", "tools", "response_format", "logit_bias", "stream", "stream_options", "user"),
        None,
    )
    | dict.fromkeys(("max_tokens", "max_completion_tokens", "temperature", "metadata", "store"), None),
    "labels": {
        "user": "ann",
        "safety_identifier": "ann",
        "prompt_cache_key": "k",
        "store": False,
        "metadata": {"a": "b"},
    },
}


@pytest.mark.parametrize("name", NEUTRAL)
async def test_a_field_that_changes_no_answer_is_accepted(
    name: str, http: httpx.AsyncClient, bearer: Bearer, emulator: Emulator
) -> None:
    body = {"model": "auto", "messages": USER} | NEUTRAL[name]
    response = await http.post("/v1/chat/completions", json=body, headers=bearer())
    assert response.status_code == 200, response.text
    assert [seen.prompt_tokens for seen in emulator.journal] == [1]


async def test_an_answer_is_sent_back_with_the_next_turn_just_as_it_came(
    client: openai.AsyncOpenAI, emulator: Emulator
) -> None:
    messages: list[Any] = [*USER]
    for _ in range(2):
        answer = await client.chat.completions.create(model="simple", messages=messages)
        messages += [answer.choices[0].message, *USER]
    first, second = emulator.journal
    assert second.prompt_tokens == 2 * first.prompt_tokens + first.completion_tokens


@pytest.mark.parametrize(
    ("value", "param"), [(7, "input"), (["a", 7], "input.1"), ([{"image": JPEG, "text": 7}], "input.0.text")]
)
async def test_a_bad_input_to_embed_is_refused_by_its_own_name_too(
    value: Any, param: str, http: httpx.AsyncClient, bearer: Bearer
) -> None:
    response = await http.post("/v1/embeddings", json={"model": "auto", "input": value}, headers=bearer())
    assert_refused(response, wrong(param))
