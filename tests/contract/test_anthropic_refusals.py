"""The emulator refuses the requests that Anthropic refuses, with a sentence that names the field.

Each row is a sentence of Anthropic's documents or a refusal of the live API that users published in 2025 or 2026.
"""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from typing import Any, get_type_hints

import anthropic
import pytest
from anthropic.types import message_create_params
from PIL import Image

from cluster.lab.emulator import Emulator
from cluster.lab.emulator.chat.anthropic.request_schema import MessagesRequest
from tests.contract.anthropic_clients import connect
from tests.support.pictures import jpeg

SONNET, OPUS, HAIKU, OLD = "claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-5-5", "claude-haiku-4-5"
Json = dict[str, Any]
PING: Json = {"role": "user", "content": "ping"}
TOOL: Json = {"name": "f", "input_schema": {"type": "object"}}
CALL: Json = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
RESULT: Json = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}
MARK: Json = {"cache_control": {"type": "ephemeral"}}
CLOSED: Json = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with connect(emulator) as client:
        yield client


def message(*blocks: Any, role: str = "user") -> Json:
    return {"role": role, "content": list(blocks)}


def conversation(*messages: Json, tools: bool = True) -> Json:
    return {"messages": [PING, *messages]} | ({"tools": [TOOL]} if tools else {})


def tool(**fields: Any) -> Json:
    return {"tools": [TOOL | fields]}


def picture(data: bytes, media_type: str = "image/jpeg") -> Json:
    source = {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}
    return {"type": "image", "source": source}


def encoded(width_px: int, height_px: int, form: str) -> bytes:
    out = io.BytesIO()
    Image.new("1", (width_px, height_px)).save(out, form)
    return out.getvalue()


def thinking(kind: str, effort: str | None = None, **fields: Any) -> Json:
    return {"thinking": {"type": kind} | fields} | ({"output_config": {"effort": effort}} if effort else {})


def formatted(**schema: Any) -> Json:
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


FORCED: Json = {"tools": [TOOL], "tool_choice": {"type": "any"}}
CALL_TURN = message(CALL, role="assistant")
REFUSED: dict[str, tuple[str, Json, str]] = {
    "an invented field": (HAIKU, {"verbosity": "low"}, "verbosity: Extra inputs are not permitted"),
    "a field of OpenAI's": (HAIKU, {"stop": ["a"]}, "stop: Extra inputs are not permitted"),
    "an invented field of a message": (HAIKU, {"messages": [PING | {"name": "x"}]}, "messages.0.name: Extra inputs"),
    "no limit": (HAIKU, {"max_tokens": None}, "max_tokens"),
    "a limit of 0": (HAIKU, {"max_tokens": 0}, "max_tokens: Input should be greater"),
    "a limit above the model's": (HAIKU, {"max_tokens": 128_001}, "max_tokens: 128001 > 128000"),
    "no message": (HAIKU, {"messages": []}, "messages: at least one message"),
    "the assistant first": (
        HAIKU,
        {"messages": [message("x", role="assistant") | {"content": "x"}, PING]},
        "first message",
    ),
    "a role of OpenAI's": (HAIKU, {"messages": [PING | {"role": "tool"}]}, "messages.0.role"),
    "a prefill": (HAIKU, conversation({"role": "assistant", "content": "It is"}), "prefill"),
    "an empty text": (
        HAIKU,
        {"messages": [message({"type": "text", "text": ""})]},
        "text content blocks must be non-empty",
    ),
    "a blank text": (HAIKU, {"messages": [message({"type": "text", "text": " \n"})]}, "non-whitespace"),
    "an empty content": (HAIKU, {"messages": [message()]}, "messages.0: all messages must have non-empty content"),
    "an empty string": (HAIKU, {"messages": [PING | {"content": ""}]}, "messages.0: all messages must have non-empty"),
    "an empty system text": (HAIKU, {"system": [{"type": "text", "text": ""}]}, "system: text content blocks"),
    "an image of the assistant": (
        HAIKU,
        conversation(message(picture(jpeg(8, 8)), role="assistant"), PING),
        "messages.1.content.0",
    ),
    "a call of the user": (HAIKU, conversation(message(CALL)), "messages.1.content.0"),
    "a result without its call": (HAIKU, conversation(message(RESULT)), "unexpected `tool_use_id` found"),
    "a result of an older call": (
        HAIKU,
        conversation(
            CALL_TURN, message(RESULT), message({"type": "text", "text": "a"}, role="assistant"), message(RESULT)
        ),
        "unexpected",
    ),
    "a call without its result": (
        HAIKU,
        conversation(CALL_TURN, PING),
        "messages.1: `tool_use` ids were found without",
    ),
    "text before the result": (
        HAIKU,
        conversation(CALL_TURN, message({"type": "text", "text": "a"}, RESULT)),
        "must come before",
    ),
    "two results of one call": (HAIKU, conversation(CALL_TURN, message(RESULT, RESULT)), "single result"),
    "an id used twice": (HAIKU, conversation(message(CALL, CALL, role="assistant"), message(RESULT)), "must be unique"),
    "an id with a dot": (
        HAIKU,
        conversation(message(CALL | {"id": "a.b"}, role="assistant")),
        "messages.1.content.0.tool_use.id: String",
    ),
    "arguments of text": (
        HAIKU,
        conversation(message(CALL | {"input": "{}"}, role="assistant")),
        "messages.1.content.0.tool_use.input",
    ),
    "calls without tools": (HAIKU, conversation(CALL_TURN, message(RESULT), tools=False), "must define tools"),
    "a name with a blank": (HAIKU, tool(name="a b"), "tools.0.custom.name: String should match"),
    "a name of 129 letters": (HAIKU, tool(name="a" * 129), "tools.0.custom.name"),
    "two tools of one name": (HAIKU, {"tools": [TOOL, TOOL]}, "tools: Tool names must be unique"),
    "parameters of OpenAI's": (
        HAIKU,
        {"tools": [{"name": "f", "parameters": {}}]},
        "tools.0.custom.input_schema: Field",
    ),
    "a schema without a type": (HAIKU, tool(input_schema={}), "tools.0.custom.input_schema.type: Field required"),
    "a schema of text": (HAIKU, tool(input_schema={"type": "string"}), "input_schema.type"),
    "alternatives at the root": (HAIKU, tool(input_schema={"type": "object", "anyOf": []}), "top level"),
    "an unknown type": (HAIKU, tool(input_schema={"type": "object", "properties": {"a": {"type": "date"}}}), "invalid"),
    "a strict tool that is open": (HAIKU, tool(strict=True), "additionalProperties"),
    "a bound in an alternative": (
        HAIKU,
        formatted(**CLOSED | {"properties": {"a": {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 1}]}}}),
        "property 'minimum' is not supported",
    ),
    "21 strict tools": (
        HAIKU,
        {"tools": [TOOL | {"name": f"f{n}", "input_schema": CLOSED, "strict": True} for n in range(21)]},
        "strict",
    ),
    "a choice without tools": (HAIKU, {"tool_choice": {"type": "auto"}}, "tool_choice"),
    "a choice of an unknown tool": (
        HAIKU,
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}},
        "'g' not found",
    ),
    "OpenAI's choice": (HAIKU, {"tools": [TOOL], "tool_choice": "auto"}, "tool_choice"),
    "a forced tool of Sonnet": (SONNET, FORCED, "not supported for this model"),
    "a forced tool of Opus": (OPUS, FORCED, "not supported for this model"),
    "a forced tool with a budget": (OLD, FORCED | thinking("enabled", budget_tokens=1_024), "forces tool use"),
    "Sonnet without thinking": (SONNET, thinking("disabled"), "between_tools"),
    "Opus without thinking": (OPUS, thinking("disabled"), "not supported"),
    "Haiku between tools": (HAIKU, thinking("between_tools"), "not supported"),
    "Haiku without thinking at xhigh": (HAIKU, thinking("disabled", "xhigh"), "effort"),
    "Sonnet between tools at max": (SONNET, thinking("between_tools", "max"), "effort"),
    "Sonnet between tools with a display": (SONNET, thinking("between_tools", display="omitted"), "display"),
    "a budget of Sonnet": (SONNET, thinking("enabled", budget_tokens=1_024), "thinking.type.adaptive"),
    "a budget of 1,023": (OLD, thinking("enabled", budget_tokens=1_023), "budget_tokens: Input should be greater"),
    "a budget of the whole limit": (OLD, thinking("enabled", budget_tokens=2_000), "must be greater than"),
    "an old model that adapts": (OLD, thinking("adaptive"), "adaptive"),
    "an old model with an effort": (OLD, {"output_config": {"effort": "low"}}, "effort parameter"),
    "the effort none": (HAIKU, {"output_config": {"effort": "none"}}, "output_config.effort: Input should be"),
    "the effort minimal": (HAIKU, {"output_config": {"effort": "minimal"}}, "output_config.effort"),
    "a JSON object": (HAIKU, {"output_config": {"format": {"type": "json_object"}}}, "output_config.format"),
    "an open schema": (HAIKU, formatted(type="object", properties={}), "additionalProperties"),
    "a bound": (
        HAIKU,
        formatted(**CLOSED | {"properties": {"a": {"type": "integer", "minimum": 1}}}),
        "'minimum' is not",
    ),
    "an unknown format": (
        HAIKU,
        formatted(**CLOSED | {"properties": {"a": {"type": "string", "format": "x"}}}),
        "format",
    ),
    "a blank stop sequence": (HAIKU, {"stop_sequences": ["\n"]}, "stop_sequences"),
    "a tier of OpenAI's": (HAIKU, {"service_tier": "flex"}, "service_tier"),
    "a fifth breakpoint": (
        HAIKU,
        {"messages": [message(*[{"type": "text", "text": "a"} | MARK] * 5)]},
        "maximum of 4 blocks",
    ),
    "an hour after five minutes": (
        HAIKU,
        {
            "messages": [
                message(
                    {"type": "text", "text": "a"} | MARK,
                    {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
                )
            ]
        },
        "ttl='1h'",
    ),
    "a breakpoint on thinking": (
        HAIKU,
        conversation(
            message({"type": "thinking", "thinking": "", "signature": "x"} | MARK, CALL, role="assistant"),
            message(RESULT),
        ),
        "cache_control: Extra",
    ),
    "no image": (HAIKU, {"messages": [message(picture(b"no image"))]}, "Could not process image"),
    "a format that it does not read": (
        HAIKU,
        {"messages": [message(picture(encoded(8, 8, "BMP"), "image/bmp"))]},
        "media_type",
    ),
    "a PNG called JPEG": (HAIKU, {"messages": [message(picture(encoded(8, 8, "PNG")))]}, "image/png"),
    "an image of 8,001 pixels": (
        HAIKU,
        {"messages": [message(picture(encoded(8_001, 1, "PNG"), "image/png"))]},
        "8000 pixels",
    ),
    "21 images of 2,001 pixels": (
        HAIKU,
        {"messages": [message(*[picture(encoded(2_001, 1, "PNG"), "image/png")] * 21)]},
        "2000 pixels",
    ),
    "an image of 5 MB": (HAIKU, {"messages": [message(picture(jpeg(8, 8) + b"x" * 4_000_000))]}, "image exceeds 5 MB"),
    "a bad signature": (
        HAIKU,
        conversation(
            message({"type": "thinking", "thinking": "", "signature": "x"}, CALL, role="assistant"), message(RESULT)
        ),
        "Invalid `signature`",
    ),
    "a prompt that is too long": (
        OLD,
        {"messages": [PING | {"content": "word " * 200_001}]},
        "prompt is too long: 200001 tokens > 200000",
    ),
}


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize("name", REFUSED)
async def test_the_emulator_refuses_what_the_vendor_refuses(name: str, client: anthropic.AsyncAnthropic) -> None:
    model, fields, sentence = REFUSED[name]
    body = {"model": model, "max_tokens": 2_000, "messages": [PING]} | fields
    with pytest.raises(anthropic.BadRequestError) as failed:
        await client.post("/v1/messages", cast_to=object, body=body)
    assert failed.value.type == "invalid_request_error" and sentence in str(failed.value.api_message)


ACCEPTED: dict[str, tuple[str, Json]] = {
    "no thinking of Haiku": (HAIKU, thinking("disabled", "high")),
    "Sonnet between tools": (SONNET, thinking("between_tools", "high")),
    "Opus that adapts": (OPUS, thinking("adaptive", "max", display="omitted")),
    "a budget of an old model": (OLD, thinking("enabled", budget_tokens=1_024)),
    "a prefill of an old model": (OLD, conversation({"role": "assistant", "content": "It is"}, tools=False)),
    "a forced tool of Haiku": (HAIKU, FORCED),
    "no tool at all": (SONNET, {"tools": [TOOL], "tool_choice": {"type": "none"}}),
    "a strict tool": (HAIKU, tool(input_schema=CLOSED, strict=True)),
    "a schema with alternatives": (HAIKU, formatted(**CLOSED | {"properties": {"a": {"anyOf": [{"type": "null"}]}}})),
    "messages of one role": (HAIKU, {"messages": [PING, PING]}),
    "results in two messages": (
        HAIKU,
        conversation(
            message(CALL, CALL | {"id": "b"}, role="assistant"),
            message(RESULT),
            message(RESULT | {"tool_use_id": "b"}, {"type": "text", "text": "a"}),
        ),
    ),
    "an image in a result": (
        HAIKU,
        conversation(CALL_TURN, message(RESULT | {"content": [picture(jpeg(8, 8))], "is_error": True})),
    ),
    "21 images of 2,000 pixels": (
        HAIKU,
        {"messages": [message(*[picture(encoded(2_000, 1, "PNG"), "image/png")] * 21)]},
    ),
    "other metadata": (HAIKU, {"metadata": {"user_id": "x"}, "service_tier": "standard_only", "inference_geo": "eu"}),
}


@pytest.mark.parametrize("name", ACCEPTED)
async def test_the_emulator_accepts_what_the_vendor_accepts(name: str, client: anthropic.AsyncAnthropic) -> None:
    model, fields = ACCEPTED[name]
    body = {"model": model, "max_tokens": 2_000, "messages": [PING]} | fields
    assert await client.post("/v1/messages", cast_to=object, body=body)


def test_the_emulator_accepts_the_fields_of_the_vendors_own_types() -> None:
    theirs = set(get_type_hints(message_create_params.MessageCreateParamsBase)) | {"stream"}
    # Two are headers of the SDK, and these three have left the API.
    assert set(MessagesRequest.model_fields) - {"temperature", "top_p", "top_k"} == theirs - {
        "user_profile_id",
        "workspace_id",
    }
