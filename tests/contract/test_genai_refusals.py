"""The emulator refuses the requests that Gemini refuses: 400 INVALID_ARGUMENT with the vendor's kind of sentence.

Each row is an error that users of the API reported in public, or a rule of Google's pages, read 2026-11-30.
"""

from __future__ import annotations

import base64
from typing import Any

import aiohttp
import pytest
from google.genai import types

from cluster.lab.emulator import Emulator
from cluster.lab.emulator.chat.gemini.fields import MESSAGES
from cluster.lab.emulator.chat.gemini.proto_json import InvalidArgument, read_message
from cluster.lab.emulator.chat.gemini.requests import parse
from tests.support.pictures import jpeg

LITE, FLASH, BUDGET, OFF = "gemini-3.5-flash-lite", "gemini-3.8-flash", "gemini-2.5-flash", "gemini-2.5-flash-lite"
Json = dict[str, Any]
PING: Json = {"role": "user", "parts": [{"text": "ping"}]}
JPEG = base64.b64encode(jpeg(64, 64)).decode()
SKIP = "skip_thought_signature_validator"


def user(*parts: Json, role: str = "user") -> Json:
    return {"contents": [{"role": role, "parts": list(parts)}]}


def image(mime_type: str = "image/jpeg", data: str = JPEG) -> Json:
    return user({"inlineData": {"mimeType": mime_type, "data": data}})


def config(**fields: Any) -> Json:
    return {"generationConfig": fields}


def thinking(**fields: Any) -> Json:
    return config(thinkingConfig=fields)


def tool(name: Any = "f", **fields: Any) -> Json:
    return {"tools": [{"functionDeclarations": [{"name": name} | fields]}]}


def choice(**fields: Any) -> Json:
    return {"toolConfig": {"functionCallingConfig": fields}}


def call(name: str = "f", call_id: str = "1", signature: str | None = SKIP) -> Json:
    signed = {} if signature is None else {"thoughtSignature": signature}
    return {"functionCall": {"id": call_id, "name": name, "args": {}}} | signed


def response(name: str = "f", call_id: str = "1") -> Json:
    return {"functionResponse": {"id": call_id, "name": name, "response": {"output": "ok"}}}


def conversation(*contents: Json) -> Json:
    return {"contents": [PING, *contents]}


def model(*parts: Json) -> Json:
    return {"role": "model", "parts": list(parts)}


def results(*parts: Json) -> Json:
    return {"role": "user", "parts": list(parts)}


REFUSED: dict[str, tuple[str, Json, str]] = {
    "an invented field": (LITE, {"messages": []}, 'Unknown name "messages": Cannot find field'),
    "a field of another place": (LITE, config(thinkingLevel="low"), 'Unknown name "thinkingLevel" at \'generation_c'),
    "a key of OpenAI": (LITE, user({"type": "text", "text": "a"}), "Unknown name \"type\" at 'contents[0].parts[0]'"),
    "a third spelling": (LITE, {"generation-config": {}}, 'Unknown name "generation-config"'),
    "no contents": (LITE, {"contents": None}, "contents is not specified"),
    "empty contents": (LITE, {"contents": []}, "contents is not specified"),
    "contents of text": (LITE, {"contents": "ping"}, "Invalid value at 'contents'"),
    "no parts": (LITE, user(), "contents[0].parts: contents.parts must not be empty"),
    "an empty part": (LITE, user({}), "required oneof field 'data' must have one initialized field"),
    "an empty text": (LITE, user({"text": ""}), "required oneof field 'data'"),
    "two data in a part": (LITE, user({"text": "a", "fileData": {"fileUri": "gs://a"}}), "Cannot set 'file_data'"),
    "OpenAI's role": (LITE, user({"text": "a"}, role="assistant"), "Please use a valid role: user, model."),
    "a system turn": (LITE, user({"text": "a"}, role="system"), "Please use a valid role"),
    "the model last": (LITE, conversation(model({"text": "{"})), "last turn"),
    "the model last, of 3.8": (FLASH, conversation(model({"text": "{"})), "last turn"),
    "a GIF": (LITE, image("image/gif"), "Unsupported MIME type: image/gif"),
    "no picture": (LITE, image(data="AAAA"), "Unable to process input image"),
    "no base64": (LITE, image(data="?"), "Base64 decoding failed"),
    "minimal thought of 3.8": (FLASH, thinking(thinkingLevel="MINIMAL"), "MINIMAL is not supported for this model"),
    "a level of 2.5": (BUDGET, thinking(thinkingLevel="LOW"), "LOW is not supported for this model"),
    "no such level": (LITE, thinking(thinkingLevel="NONE"), "thinking_config.thinking_level' (THINKING_LEVEL)"),
    "a budget of 3.5": (LITE, thinking(thinkingBudget=0), "Thinking budget is not supported"),
    "a budget too small": (OFF, thinking(thinkingBudget=100), "choose a value between 512 and 24576"),
    "a budget too large": (BUDGET, thinking(thinkingBudget=24_577), "choose a value between 1 and 24576"),
    "level and budget": (LITE, thinking(thinkingBudget=1, thinkingLevel="LOW"), "only one of thinking budget and"),
    "no output tokens": (LITE, config(maxOutputTokens=0), "maxOutputTokens value of 0"),
    "too many output tokens": (LITE, config(maxOutputTokens=65_537), "from 1 (inclusive) to 65537 (exclusive)"),
    "a limit of text": (LITE, config(maxOutputTokens="many"), "max_output_tokens' (TYPE_INT32)"),
    "a temperature of 3": (OFF, config(temperature=3), "temperature must be in the range [0.0, 2.0]"),
    "a top_p of 2": (OFF, config(topP=2), "top_p must be in the range"),
    "a seed of 64 bits": (LITE, config(seed=2**40), "seed' (TYPE_INT32)"),
    "six stops": (LITE, config(stopSequences=list("abcdef")), "at most 5 stop sequences"),
    "a stop of text": (LITE, config(stopSequences="a"), "stop_sequences' (TYPE_LIST)"),
    "a list for one": (LITE, config(temperature=[1]), "Proto field is not repeating, cannot start list"),
    "a penalty": (LITE, config(presencePenalty=0.5), "Penalty is not enabled for this model"),
    "logprobs": (LITE, config(responseLogprobs=True), "Logprobs is not enabled for models/gemini-3.5-flash-lite"),
    "logprobs alone": ("other", config(logprobs=2), "logprobs needs response_logprobs"),
    "an unknown tier": (LITE, {"serviceTier": "bogus"}, "Invalid value at 'service_tier'"),
    "an unknown format": (LITE, config(responseMimeType="text/html"), "allowed mimetypes are"),
    "a schema for text": (LITE, config(responseJsonSchema={}), "may have a response schema"),
    "two schemas": (LITE, config(responseSchema={}, responseJsonSchema={}), "must not be set together"),
    "a format beside tools of 2.5": (
        BUDGET,
        tool() | config(responseMimeType="application/json"),
        "Function calling with a response mime type: 'application/json' is unsupported",
    ),
    "a type of no JSON Schema": (
        LITE,
        config(responseMimeType="application/json", responseJsonSchema={"items": {"type": "text"}}),
        "response_json_schema.items.type: text is not a type",
    ),
    "a keyword that Google's schema lacks": (
        LITE,
        tool(parameters={"type": "object", "properties": {"a": {"additionalProperties": False}}}),
        "Unknown name \"additionalProperties\" at 'tools[0].function_declarations[0].parameters.properties[0].value'",
    ),
    "a reference in Google's schema": (LITE, tool(parameters={"$ref": "#/a"}), 'Unknown name "$ref"'),
    "two types in Google's schema": (LITE, tool(parameters={"type": ["string", "null"]}), "cannot start list"),
    "parameters of no object": (LITE, tool(parametersJsonSchema={"type": "string"}), "of the type OBJECT"),
    "parameters of no schema": (LITE, tool(parametersJsonSchema=True), "of the type OBJECT"),
    "a property of no schema": (LITE, tool(parametersJsonSchema={"properties": {"a": 1}}), "must be an object"),
    "both parameters": (LITE, tool(parameters={}, parametersJsonSchema={}), "must not be set together"),
    "a required property that is not there": (
        LITE,
        tool(parametersJsonSchema={"properties": {}, "required": ["a"]}),
        "parameters.required[0]: property is not defined",
    ),
    "a name with a digit first": (LITE, tool("1"), "tools[0].function_declarations[0].name: [Invalid function name"),
    "a name with a blank": (LITE, tool("a b"), "Invalid function name"),
    "no name": (LITE, tool(""), "Invalid function name"),
    "a name twice": (
        LITE,
        {"tools": [{"functionDeclarations": [{"name": "f"}, {"name": "f"}]}]},
        "Duplicate function declaration found: f",
    ),
    "a forced call without tools": (LITE, choice(mode="ANY"), "without function_declarations"),
    "allowed names in the mode AUTO": (LITE, tool() | choice(allowedFunctionNames=["f"]), "mode ANY or VALIDATED"),
    "an allowed name of no tool": (LITE, tool() | choice(mode="ANY", allowedFunctionNames=["g"]), "g is not declared"),
    "a call first": (LITE, {"contents": [model(call()), results(response())]}, "immediately after a user turn"),
    "a call by the user": (
        LITE,
        conversation(PING | {"parts": [call()]}, results(response())),
        "immediately after a user",
    ),
    "a response of no call": (LITE, conversation(results(response())), "immediately after a function call turn"),
    "a call without a response": (LITE, conversation(model(call()), PING), "number of function response parts"),
    "one response for two calls": (
        LITE,
        conversation(model(call(), call(call_id="2")), results(response())),
        "number of function response parts",
    ),
    "two responses for one call": (
        LITE,
        conversation(model(call()), results(response(), response(call_id="2"))),
        "number of function response parts",
    ),
    "a call of 2.5 last": (BUDGET, conversation(model(call())), "no function response turn"),
    "a response without a name": (LITE, conversation(model(call()), results(response(""))), "Name cannot be empty"),
    "a response of another name": (LITE, conversation(model(call()), results(response("g"))), "functionResponse.name"),
    "a response of another id": (LITE, conversation(model(call()), results(response("f", "2"))), "functionResponse.id"),
    "arguments of text": (
        LITE,
        conversation(model({"functionCall": {"name": "f", "args": "{}"}})),
        "args' (TYPE_STRUCT)",
    ),
    "a call without its thought": (
        LITE,
        conversation(model(call(signature=None)), results(response())),
        "missing a thought_signature in functionCall parts",
    ),
    "a second step without its thought": (
        FLASH,
        conversation(model(call()), results(response()), model(call(signature=None)), results(response())),
        "function call `default_api:f`, position 1",
    ),
    "a thought of another vendor": (
        LITE,
        conversation(model(call(signature=JPEG)), results(response())),
        "Corrupted thought signature",
    ),
}


async def answer(emulator: Emulator, name: str, body: Json) -> tuple[int, Json]:
    async with aiohttp.ClientSession() as session:
        url = f"{emulator.url}/gemini/v1beta/models/{name}:generateContent?key=k"
        async with session.post(url, json=body) as reply:
            return reply.status, await reply.json()


@pytest.mark.parametrize("name", REFUSED)
async def test_what_the_vendor_refuses_is_refused(name: str, emulator: Emulator) -> None:
    to, change, sentence = REFUSED[name]
    status, body = await answer(emulator, to, {"contents": [PING]} | change)
    assert (status, body["error"]["status"]) == (400, "INVALID_ARGUMENT") and sentence in body["error"]["message"]
    assert emulator.journal[0].completion_tokens == 0


ACCEPTED: dict[str, tuple[str, Json]] = {
    "a role left out": (LITE, {"contents": [{"parts": [{"text": "a"}]}]}),
    "two turns of the user": (LITE, conversation(PING)),
    "the model last, of 2.5": (BUDGET, conversation(model({"text": "{"}))),
    "sampling that the model ignores": (LITE, config(temperature=0.1, topP=0.5, topK=4)),
    "a penalty of nothing": (LITE, config(presencePenalty=0)),
    "levels in small letters": (FLASH, thinking(thinkingLevel="low")),
    "a budget of the model's choice": (BUDGET, thinking(thinkingBudget=-1)),
    "no budget": (OFF, thinking(thinking_budget=0)),
    "a limit of text": (LITE, config(maxOutputTokens="9")),
    "null": (LITE, {"tools": None, "generationConfig": {"seed": None}}),
    "all keywords of JSON Schema": (
        LITE,
        tool(parametersJsonSchema={"type": "object", "$schema": "a", "additionalProperties": False, "not": {}}),
    ),
    "Google's schema": (LITE, tool(parameters={"type": "OBJECT", "properties": {"a": {"type": "string"}}})),
    "a format beside tools": (LITE, tool() | config(responseMimeType="application/json")),
    "a tier in capitals": (LITE, {"service_tier": "SERVICE_TIER_FLEX"}),
    "calls of 2.5 without ids and thoughts": (
        BUDGET,
        conversation(
            model({"functionCall": {"name": "f"}}), results({"functionResponse": {"name": "f", "response": {}}})
        ),
    ),
    "one thought for two calls": (
        LITE,
        conversation(model(call(), call("g", "2", None)), results(response("g", "2"), response())),
    ),
    "the base64 of the substitute": (
        LITE,
        conversation(model(call(signature=base64.b64encode(SKIP.encode()).decode())), results(response())),
    ),
    "an older turn without its thought": (
        LITE,
        conversation(model(call(signature=None)), results(response()), model({"text": "ok"}), PING),
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
async def test_what_the_vendor_accepts_is_accepted(name: str, emulator: Emulator) -> None:
    to, change = ACCEPTED[name]
    status, body = await answer(emulator, to, {"contents": [PING]} | change)
    assert status == 200, body


def test_a_prompt_beyond_the_context_is_refused_with_both_counts() -> None:
    long = user({"text": "w " * 1_048_577})
    with pytest.raises(InvalidArgument, match=r"token count \(1048577\) exceeds .* allowed \(1048576\)"):
        parse(long, LITE, "k", False)
    assert parse(long, "of nobody", "k", False).content.text_tokens == 1_048_577


async def test_an_unknown_field_is_in_the_details(emulator: Emulator) -> None:
    _, body = await answer(emulator, LITE, user({"txt": "a"}))
    (details,) = body["error"]["details"]
    assert details["@type"].endswith("BadRequest") and details["fieldViolations"][0]["field"] == "contents[0].parts[0]"


def test_a_schema_without_end_is_refused() -> None:
    schema: Json = {}
    for _ in range(90):
        schema = {"items": schema}
    with pytest.raises(InvalidArgument):
        read_message(schema, "Schema")


@pytest.mark.parametrize("kind", ["Content", "ThinkingConfig", "FunctionDeclaration", "FunctionCall", "Schema"])
def test_every_field_of_the_sdk_is_known_or_of_the_other_platform(kind: str) -> None:
    other_platform = {
        "FunctionCall": {"partial_args", "will_continue"},
        "Schema": {"additional_properties", "defs", "ref"},
    }
    assert set(getattr(types, kind).model_fields) - set(MESSAGES[kind]) == other_platform.get(kind, set())
