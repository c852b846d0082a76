"""The schemas of the OpenAPI document accept the bodies that the parsers accept, and no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from deployments.api.body import parse_body
from deployments.api.chat.body import parse_chat
from deployments.api.embedding_schemas import EmbeddingRequest, KnowledgeSearch, to_inputs
from deployments.api.openapi.configured_rules import configured_rules
from deployments.api.openapi.document import request_schema
from deployments.api.responses.body import parse_responses
from deployments.api.room_schemas import Heartbeat, OpenRoom, SpeechUsageItem
from deployments.gateway.retrieval import to_question
from routing.catalogue import load_catalogue
from routing.errors import BadInput
from routing.rooms import parse_room

Json = dict[str, Any]
RULES = configured_rules(load_catalogue(), ["voyage-multimodal-3.5"])
IMAGE = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
CALL: Json = {"id": "c", "function": {"name": "f", "arguments": "{}"}}
CALLS: Json = {"role": "assistant", "tool_calls": [CALL]}
RESULT: Json = {"role": "tool", "tool_call_id": "c", "content": "ok"}
TOOL: Json = {"type": "function", "function": {"name": "f"}}
PING: Json = {"role": "user", "content": "ping"}
MESSAGE: Json = {"role": "user", "content": "ping"}
CALLED: Json = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT: Json = {"type": "function_call_output", "call_id": "c", "output": "ok"}
SPOKEN: Json = {"id": "1", "service": "stt", "model": "nova-3", "occurred_at": 1_780_000_000.0}


def chat(*messages: Json, **fields: Any) -> Json:
    return {"messages": list(messages or [PING])} | fields


def parts(*rows: Json, role: str = "user") -> Json:
    return chat({"role": role, "content": list(rows)})


def parse_room_body(body: bytes) -> None:
    parse_room(parse_body(OpenRoom, body).room)


def parse_inputs(body: bytes) -> None:
    to_inputs(parse_body(EmbeddingRequest, body), 1_000)


PARSERS: dict[str, Callable[[bytes], Any]] = {
    "ChatRequest": parse_chat,
    "ResponsesRequest": parse_responses,
    "EmbeddingRequest": parse_inputs,
    "KnowledgeSearch": lambda body: to_question(parse_body(KnowledgeSearch, body), 1_000),
    "Heartbeat": lambda body: parse_body(Heartbeat, body),
    # A heartbeat accepts wrong items and sets them aside.
    "SpeechUsageItem": lambda body: parse_body(SpeechUsageItem, body),
    "OpenRoom": parse_room_body,
}
CHATS: dict[str, tuple[Json, bool]] = {
    "a text": (chat(), True),
    "a system without content": (chat({"role": "system"}, PING), False),
    "an assistant without content": (chat({"role": "assistant"}, PING), False),
    "an assistant with a refusal": (chat({"role": "assistant", "refusal": "no"}, PING), True),
    "an assistant with an empty refusal": (chat({"role": "assistant", "refusal": ""}, PING), False),
    "a call and its result": (chat(PING, CALLS, RESULT), True),
    "no calls": (chat({"role": "assistant", "tool_calls": []}, PING), False),
    "a result without an id": (chat(PING, CALLS, {"role": "tool", "content": "ok"}), False),
    "a result without content": (chat(PING, CALLS, RESULT | {"content": None}), False),
    "a call of the user": (chat(PING | {"tool_calls": [CALL]}), False),
    "an empty list of the user": (chat(PING | {"tool_calls": []}), True),
    "an image": (parts({"type": "image_url", "image_url": {"url": IMAGE}}), True),
    "an image of the assistant": (parts({"type": "image_url", "image_url": {"url": IMAGE}}, role="assistant"), False),
    "a refusal of the user": (parts({"type": "refusal", "refusal": "no"}), False),
    "a text part without text": (parts({"type": "text"}), False),
    "a text part with an image": (parts({"type": "text", "text": "a", "image_url": {"url": IMAGE}}), False),
    "a text part with null": (parts({"type": "text", "text": "a", "image_url": None}), True),
    "a required tool": (chat(tool_choice="required", tools=[TOOL]), True),
    "a required tool of none": (chat(tool_choice="required"), False),
    "a named tool of none": (chat(tool_choice=TOOL, tools=[]), False),
    "a named tool": (chat(tool_choice=TOOL, tools=[TOOL]), True),
    "a bias": (chat(logit_bias={"17": -100}), True),
    "a bias of a word": (chat(logit_bias={"the": -100}), False),
    "a number for a truth": (chat(stream=0), False),
    "a text for a number": (chat(max_tokens="9"), False),
    "a whole number": (chat(max_tokens=9.0, temperature=1, seed=3.0), True),
    "no choice": (chat(tool_choice=None, tools=None), True),
    "probabilities": (chat(top_logprobs=2, logprobs=True), True),
    "probabilities of nothing": (chat(top_logprobs=2), False),
    "no probabilities": (chat(top_logprobs=0), True),
    "parameters that are a list": (
        chat(tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}]),
        False,
    ),
    "a format": (chat(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}), True),
    "a format without its schema": (chat(response_format={"type": "json_schema"}), False),
    "a format of text": (chat(response_format={"type": "text", "json_schema": None}), True),
}
RESPONSES: dict[str, tuple[Json, bool]] = {
    "a text": ({"input": "ping"}, True),
    "a message without a type": ({"input": [MESSAGE]}, True),
    "a message without a role": ({"input": [{"content": "ping"}]}, False),
    "a message without content": ({"input": [{"role": "user"}]}, False),
    "a call and its output": ({"input": [MESSAGE, CALLED, OUTPUT]}, True),
    "a call without a name": ({"input": [MESSAGE, CALLED | {"name": None}, OUTPUT]}, False),
    "an output without output": ({"input": [MESSAGE, CALLED, OUTPUT | {"output": None}]}, False),
    "reasoning": ({"input": [MESSAGE, {"type": "reasoning", "summary": []}]}, True),
    "reasoning alone": ({"input": [{"type": "reasoning", "summary": []}], "instructions": "Be brief."}, False),
    "a stored item": ({"input": [MESSAGE, {"type": "item_reference", "id": "a"}]}, False),
    "an image": ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": IMAGE}]}]}, True),
    "an image without a URL": ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, False),
    "an image of the system": (
        {"input": [{"role": "system", "content": [{"type": "input_image", "image_url": IMAGE}]}]},
        False,
    ),
    "a required tool of none": ({"input": "ping", "tool_choice": "required"}, False),
    "a format without a name": ({"input": "ping", "text": {"format": {"type": "json_schema", "schema": {}}}}, False),
}
OTHERS: dict[str, tuple[str, Json, bool]] = {
    "an empty item": ("EmbeddingRequest", {"input": [{"text": ""}]}, False),
    "an image item": ("EmbeddingRequest", {"input": [{"image": IMAGE}]}, True),
    "a text item": ("EmbeddingRequest", {"input": [{"text": "a"}]}, True),
    "a blank question": ("KnowledgeSearch", {"query": " "}, False),
    "a question": ("KnowledgeSearch", {"query": " a"}, True),
    "a room": ("OpenRoom", {"room": "tenant_acme_a.b_c", "job_id": "1", "metadata": "{}"}, True),
    "a room without a meeting": ("OpenRoom", {"room": "tenant_acme", "job_id": "1", "metadata": "{}"}, False),
    "a tenant with an underscore": ("OpenRoom", {"room": "tenant__acme_a", "job_id": "1", "metadata": "{}"}, False),
    "a long room": ("OpenRoom", {"room": "tenant_acme_" + "a" * 245, "job_id": "1", "metadata": "{}"}, False),
    "a whole number of hits": ("KnowledgeSearch", {"query": "a", "top_k": 17.0}, True),
    "a broken number of hits": ("KnowledgeSearch", {"query": "a", "top_k": 1.5}, False),
    "a truth for hits": ("KnowledgeSearch", {"query": "a", "top_k": True}, False),
    "counters": ("Heartbeat", {"counters": {"frames_kept": 1}}, True),
    "the counters of a room with everything": (
        "Heartbeat",
        {"counters": dict.fromkeys(map("n{}".format, range(65)), 1)},
        True,
    ),
    "too many counters": ("Heartbeat", {"counters": dict.fromkeys(map("n{}".format, range(129)), 1)}, False),
    "a counter in capitals": ("Heartbeat", {"counters": {"Frames": 1}}, False),
    "speech": ("Heartbeat", {"usage": [SPOKEN]}, True),
    "speech before the epoch": ("SpeechUsageItem", SPOKEN | {"occurred_at": -1.0}, False),
}
ROWS = (
    [("ChatRequest", name, *row) for name, row in CHATS.items()]
    + [("ResponsesRequest", name, *row) for name, row in RESPONSES.items()]
    + [(kind, name, body, accepted) for name, (kind, body, accepted) in OTHERS.items()]
)


def valid(kind: str, body: Json, **rules: Json) -> bool:
    return bool(Draft202012Validator(request_schema(kind, rules)).is_valid(body))


@pytest.mark.parametrize(("kind", "name", "body", "accepted"), ROWS, ids=[f"{row[0]}: {row[1]}" for row in ROWS])
def test_the_schema_accepts_what_the_parser_accepts(kind: str, name: str, body: Json, accepted: bool) -> None:
    if accepted:
        PARSERS[kind](json.dumps(body).encode())
    else:
        with pytest.raises(BadInput):
            PARSERS[kind](json.dumps(body).encode())
    assert valid(kind, body) is accepted


def test_the_schema_refuses_a_blank_text_as_the_gateway_does() -> None:
    assert valid("ResponsesRequest", {"input": " a"}) and not valid("ResponsesRequest", {"input": " \n"})


@pytest.mark.parametrize(
    ("kind", "body", "accepted"),
    [
        ("EmbeddingRequest", {"input": "a", "dimensions": 512}, True),
        ("EmbeddingRequest", {"input": "a", "dimensions": 511}, False),
        ("EmbeddingRequest", {"input": "a", "dimensions": 511, "drop_params": True}, True),
        ("EmbeddingRequest", {"input": [1, 2]}, False),
        ("EmbeddingRequest", {"input": [[1, 2]]}, False),
        ("EmbeddingRequest", {"input": ["a", {"text": "b"}]}, True),
        ("Heartbeat", {"usage": [SPOKEN | {"audio_ms": 5}]}, True),
        ("Heartbeat", {"usage": [SPOKEN | {"characters": 5}]}, False),
        ("Heartbeat", {"usage": [SPOKEN | {"service": "tts"}]}, False),
        ("Heartbeat", {"usage": [SPOKEN | {"occurred_at": 0.0}]}, False),
    ],
)
def test_the_configured_models_limit_the_schema(kind: str, body: Json, accepted: bool) -> None:
    assert valid(kind, body, **RULES) is accepted
