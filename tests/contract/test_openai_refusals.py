"""The emulator refuses the requests that OpenAI refuses, with its status, code and parameter.

Each row is an observation of the live API that was published in 2025 or 2026, or a sentence of OpenAI's reference.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types.chat import completion_create_params

from cluster.lab.emulator import Emulator
from cluster.lab.emulator.chat.openai.chat_fields import FIELDS
from tests.contract.openai_clients import connect, refusal
from tests.support.pictures import jpeg

LUNA, SOL, OLD = "gpt-6-luna", "gpt-6.1-sol", "gpt-4o"
CHAT = "/chat/completions"
PING = [{"role": "user", "content": "ping"}]
NONE = {"reasoning_effort": "none"}
JPEG = "data:image/jpeg;base64," + base64.b64encode(jpeg(64, 64)).decode()
Json = dict[str, Any]
Row = tuple[str, Json, str | None, str | None]


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[openai.AsyncOpenAI]:
    async with connect(emulator) as client:
        yield client


def tool(name: Any = "f", **function: Any) -> Json:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}} | function}


def call(call_id: str = "c", **more: Any) -> Json:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}} | more


def user(*content: Any) -> Json:
    return {"messages": [{"role": "user", "content": list(content)}]}


def after_ping(*messages: Json) -> Json:
    return {"messages": [*PING, *messages]}


def image(url: str, **more: Any) -> Json:
    return {"type": "image_url", "image_url": {"url": url} | more}


def schema(strict: bool, **shape: Any) -> Json:
    described = {"name": "s", "strict": strict, "schema": {"type": "object"} | shape}
    return {"response_format": {"type": "json_schema", "json_schema": described}}


def assistant(*calls: Json) -> Json:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def result(call_id: str = "c") -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": "ok"}


CLOSED = {"properties": {"a": {"type": "string"}}, "additionalProperties": False, "required": ["a"]}
REFUSED: dict[str, Row] = {
    "no model": ("", {"model": None}, None, None),
    "no messages": (LUNA, {"messages": "__delete__"}, "missing_required_parameter", "messages"),
    "empty messages": (LUNA, {"messages": []}, "empty_array", "messages"),
    "messages of text": (LUNA, {"messages": "ping"}, "invalid_type", "messages"),
    "an invented parameter": (LUNA, {"top_k": 1}, "unknown_parameter", "top_k"),
    "reasoning in the other form": (LUNA, {"reasoning": {"effort": "low"}}, "unknown_parameter", "reasoning"),
    "audio of a thinking model": (LUNA, {"modalities": ["text"]}, "unknown_parameter", "modalities"),
    "n of text": (LUNA, {"n": "2"}, "invalid_type", "n"),
    "n of 0": (LUNA, {"n": 0}, "integer_below_min_value", "n"),
    "n of 64": (LUNA, {"n": 64}, "integer_above_max_value", "n"),
    "a temperature of 3": (OLD, {"temperature": 3}, "decimal_above_max_value", "temperature"),
    "a decimal seed": (LUNA, {"seed": 1.5}, "invalid_type", "seed"),
    "a null user": (LUNA, {"user": None}, "invalid_type", "user"),
    "no output tokens": (LUNA, {"max_completion_tokens": 0}, "integer_below_min_value", "max_completion_tokens"),
    "too many output tokens": (OLD, {"max_completion_tokens": 16_385}, "invalid_value", "max_completion_tokens"),
    "five stops": (OLD, {"stop": list("abcde")}, "array_above_max_length", "stop"),
    "a stop of a thinking model": (LUNA, {"stop": ["a"]}, "unsupported_parameter", "stop"),
    "max_tokens of a thinking model": (LUNA, {"max_tokens": 64}, "unsupported_parameter", "max_tokens"),
    "both limits": (OLD, {"max_tokens": 9, "max_completion_tokens": 9}, "invalid_parameter_combination", None),
    "logit_bias of a thinking model": (LUNA, NONE | {"logit_bias": {"1": 1}}, "unsupported_parameter", "logit_bias"),
    "a temperature while thinking": (LUNA, {"temperature": 0.2}, "unsupported_value", "temperature"),
    "top_p while thinking": (SOL, {"top_p": 0.5}, "unsupported_parameter", "top_p"),
    "a penalty while thinking": (LUNA, {"presence_penalty": 0.5}, "unsupported_parameter", "presence_penalty"),
    "logprobs while thinking": (LUNA, {"logprobs": True}, "unsupported_parameter", "logprobs"),
    "top_logprobs alone": (OLD, {"top_logprobs": 2}, None, "top_logprobs"),
    "six top_logprobs": (LUNA, NONE | {"logprobs": True, "top_logprobs": 6}, None, "top_logprobs"),
    "no thought where it is due": (SOL, NONE, "unsupported_value", "reasoning_effort"),
    "minimal thought": (SOL, {"reasoning_effort": "minimal"}, "unsupported_value", "reasoning_effort"),
    "most thought in a chat": (SOL, {"reasoning_effort": "max"}, "unsupported_value", "reasoning_effort"),
    "thought of an old model": (OLD, {"reasoning_effort": "low"}, None, None),
    "a verbosity of an old model": (OLD, {"verbosity": "low"}, "unsupported_value", "verbosity"),
    "an unknown verbosity": (LUNA, {"verbosity": "huge"}, "invalid_value", "verbosity"),
    "an unknown tier": (LUNA, {"service_tier": "bogus"}, "invalid_value", "service_tier"),
    "stream options alone": (LUNA, {"stream_options": {"include_usage": True}}, None, "stream_options"),
    "a key in a message": (
        LUNA,
        after_ping({"role": "user", "content": "a", "id": "1"}),
        "unknown_parameter",
        "messages[1].id",
    ),
    "an unknown role": (LUNA, after_ping({"role": "bogus", "content": "a"}), "invalid_value", "messages[1].role"),
    "null content": (LUNA, after_ping({"role": "user", "content": None}), None, "messages.[1].content"),
    "an assistant without content": (
        LUNA,
        after_ping({"role": "assistant", "tool_calls": None}),
        None,
        "messages.[1].content",
    ),
    "empty parts": (LUNA, user(), "empty_array", "messages[0].content"),
    "a video": (LUNA, user({"type": "video_url"}), "invalid_value", "messages[0].content[0].type"),
    "an image by the assistant": (
        LUNA,
        after_ping({"role": "assistant", "content": [image(JPEG)]}),
        "invalid_value",
        "messages[1].content[0].type",
    ),
    "a marked part": (
        LUNA,
        user({"type": "text", "text": "a", "cache_control": {}}),
        "unknown_parameter",
        "messages[0].content[0].cache_control",
    ),
    "a null detail": (LUNA, user(image(JPEG, detail=None)), "invalid_type", "messages[0].content[0].image_url.detail"),
    "an unknown detail": (
        LUNA,
        user(image(JPEG, detail="fine")),
        "invalid_value",
        "messages[0].content[0].image_url.detail",
    ),
    "a document as an image": (LUNA, user(image("data:application/pdf;base64,AAAA")), "invalid_image_format", None),
    "an image that is none": (LUNA, user(image("data:image/png;base64,AAAA")), "invalid_image_format", None),
    "a bare base64": (LUNA, user(image("AAAA")), "invalid_value", "messages[0].content[0].image_url.url"),
    "a result of no call": (LUNA, after_ping(result()), None, "messages.[1].role"),
    "a result of another call": (LUNA, after_ping(assistant(call("a")), result("b")), None, "messages.[2].role"),
    "a call without its result": (LUNA, after_ping(assistant(call("a")), *PING), None, "messages"),
    "a long id": (
        LUNA,
        after_ping(assistant(call("c" * 41)), result("c" * 41)),
        "string_above_max_length",
        "messages[1].tool_calls[0].id",
    ),
    "an index in a call": (
        LUNA,
        after_ping(assistant(call(index=0)), result()),
        "unknown_parameter",
        "messages[1].tool_calls[0].index",
    ),
    "no calls": (
        LUNA,
        after_ping({"role": "assistant", "content": "a", "tool_calls": []}),
        "empty_array",
        "messages[1].tool_calls",
    ),
    "no tools": (LUNA, NONE | {"tools": []}, "empty_array", "tools"),
    "null tools": (LUNA, NONE | {"tools": None}, "invalid_type", "tools"),
    "129 tools": (LUNA, NONE | {"tools": [tool(f"f{n}") for n in range(129)]}, "array_above_max_length", "tools"),
    "a tool without a name": (
        LUNA,
        NONE | {"tools": [{"type": "function", "function": {}}]},
        "missing_required_parameter",
        "tools[0].function.name",
    ),
    "a name with a blank": (LUNA, NONE | {"tools": [tool("get it")]}, "invalid_value", "tools[0].function.name"),
    "a name of 65 letters": (
        LUNA,
        NONE | {"tools": [tool("f" * 65)]},
        "string_above_max_length",
        "tools[0].function.name",
    ),
    "a long description": (
        LUNA,
        NONE | {"tools": [tool(description="a" * 1_025)]},
        "string_above_max_length",
        "tools[0].function.description",
    ),
    "parameters of no object": (
        LUNA,
        NONE | {"tools": [tool(parameters={"type": "string"})]},
        "invalid_function_parameters",
        "tools[0].function.parameters",
    ),
    "open strict parameters": (
        LUNA,
        NONE | {"tools": [tool(strict=True)]},
        "invalid_function_parameters",
        "tools[0].function.parameters",
    ),
    "tools while thinking": (LUNA, {"tools": [tool()]}, None, "reasoning_effort"),
    "tools of a model that always thinks": (
        SOL,
        {"reasoning_effort": "low", "tools": [tool()]},
        None,
        "reasoning_effort",
    ),
    "a choice of no tools": (LUNA, {"tool_choice": "auto"}, None, "tool_choice"),
    "parallel calls of no tools": (LUNA, {"parallel_tool_calls": True}, None, "parallel_tool_calls"),
    "an unknown choice": (LUNA, NONE | {"tools": [tool()], "tool_choice": "any"}, "invalid_value", "tool_choice"),
    "a choice of another tool": (
        LUNA,
        NONE | {"tools": [tool()], "tool_choice": {"type": "function", "function": {"name": "g"}}},
        None,
        "tool_choice",
    ),
    "JSON that nobody mentions": (LUNA, {"response_format": {"type": "json_object"}}, None, "messages"),
    "an unknown format": (LUNA, {"response_format": {"type": "xml"}}, "invalid_value", "response_format.type"),
    "an open strict schema": (LUNA, schema(True), None, "response_format"),
    "an optional strict property": (LUNA, schema(True, **CLOSED | {"required": []}), None, "response_format"),
    "a strict composition": (LUNA, schema(True, **CLOSED, allOf=[]), None, "response_format"),
    "a schema of no object": (LUNA, schema(False, type="array"), None, "response_format"),
    "a type that is none": (LUNA, schema(False, properties={"a": {"type": "text"}}), None, "response_format"),
    "17 metadata of numbers": (LUNA, {"metadata": {"a": 7}}, "invalid_type", "metadata.a"),
    "too long a prompt": (
        OLD,
        {"messages": [{"role": "user", "content": "a " * 128_001}]},
        "context_length_exceeded",
        "messages",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_chat_is_refused_by_status_code_and_parameter(name: str, client: openai.AsyncOpenAI) -> None:
    model, fragment, code, param = REFUSED[name]
    error = await refusal(client, CHAT, {"model": model, "messages": PING} | fragment)
    assert (error.code, error.param, error.type) == (code, param, "invalid_request_error")


async def test_an_unknown_parameter_is_reported_before_every_other_fault(client: openai.AsyncOpenAI) -> None:
    faults: list[Json] = [{"n": "abc"}, {"messages": []}, {"stop": ["a"]}, {"service_tier": "bogus"}]
    for fault in faults:
        error = await refusal(client, CHAT, {"model": LUNA, "messages": PING, "zzz": 1} | fault)
        assert error.param == "zzz"


ACCEPTED: dict[str, tuple[str, Json]] = {
    "keys that change no answer": (
        LUNA,
        {"metadata": {"a": "b"}, "store": False, "user": "u", "safety_identifier": "u", "seed": 1}
        | {"prompt_cache_key": "k", "prompt_cache_retention": "24h", "verbosity": "low"},
    ),
    "sampling without thought": (
        LUNA,
        NONE | {"temperature": 0.2, "top_p": 0.9, "frequency_penalty": 0.5, "logprobs": True, "top_logprobs": 5},
    ),
    "the default temperature": (SOL, {"temperature": 1}),
    "null options": (LUNA, {"temperature": None, "stop": None, "seed": None, "logit_bias": None}),
    "tools without thought": (LUNA, NONE | {"tools": [tool()], "parallel_tool_calls": False}),
    "tools of an old model": (OLD, {"tools": [tool()], "tool_choice": "required", "max_tokens": 99, "stop": ["a"]}),
    "a strict schema": (LUNA, schema(True, **CLOSED)),
    "an empty text": (LUNA, user({"type": "text", "text": ""})),
    "a tool conversation": (LUNA, after_ping(assistant(call("a"), call("b")), result("b"), result("a"))),
    "a function without parameters": (OLD, {"tools": [{"type": "function", "function": {"name": "f"}}]}),
    "a model of which nothing is known": ("any", {"max_tokens": 5, "stop": "a", "reasoning_effort": "low"}),
}


@pytest.mark.parametrize("name", ACCEPTED)
async def test_a_chat_that_openai_accepts_is_answered(name: str, client: openai.AsyncOpenAI) -> None:
    model, fragment = ACCEPTED[name]
    body = {"model": model, "messages": PING} | fragment
    assert isinstance(await client.post(CHAT, cast_to=object, body=body), dict)


def test_the_known_fields_are_those_of_the_sdk() -> None:
    assert set(FIELDS) - {"stream"} == set(completion_create_params.CompletionCreateParamsBase.__annotations__)
