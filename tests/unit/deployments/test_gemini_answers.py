"""Gemini's answers are read in chunks: calls, finish, usage, tier and log probabilities."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types

from deployments.providers.gemini.answers import TIER_HEADER, AnswerReader, openai_logprobs
from deployments.providers.gemini.thought_signatures import thought_signature_of
from routing.catalogue import Model
from routing.models import Tier, Usage

MODEL = Model(name="m", vendor="v", services=("llm",), tier=Tier.SIMPLE, source="a test", wire_name="wire")
CALL = {"function_call": {"name": "f", "args": {"a": "é"}}, "thought_signature": b"thought"}


def response(*parts: Any, finish: str | None = None, usage: int | None = None, **more: Any) -> Any:
    candidate = {"content": {"parts": list(parts)}, "finish_reason": finish}
    counts = None if usage is None else {"prompt_token_count": 5, "candidates_token_count": usage}
    return types.GenerateContentResponse.model_validate({"candidates": [candidate], "usage_metadata": counts} | more)


def test_calls_have_an_id_their_arguments_and_their_signature() -> None:
    reader = AnswerReader(MODEL)
    first = reader.read(response({"text": "Wait."}, CALL))
    second = reader.read(response({"function_call": {"id": "own", "name": "g"}}, finish="STOP"))
    (one,), (two,) = first.tool_calls, second.tool_calls
    assert first.text == "Wait." and (one.index, one.name, json.loads(one.arguments)) == (0, "f", {"a": "é"})
    assert one.call_id and one.call_id.startswith("call_") and thought_signature_of(one.signature, "wire") == b"thought"
    assert (two.index, two.call_id, two.arguments, two.signature) == (1, "own", "{}", None)
    assert (first.finish, second.finish) == (None, "tool_calls")


def test_two_calls_without_ids_get_different_ones() -> None:
    calls = AnswerReader(MODEL).read(response(CALL, CALL)).tool_calls
    assert calls[0].call_id != calls[1].call_id


@pytest.mark.parametrize(
    ("reason", "plain", "with_call"),
    [
        ("STOP", "stop", "tool_calls"),
        ("MAX_TOKENS", "length", "length"),
        ("SAFETY", "refusal", "refusal"),
        ("MALFORMED_FUNCTION_CALL", None, "tool_calls"),
        ("UNEXPECTED_TOOL_CALL", None, "tool_calls"),
        ("MISSING_THOUGHT_SIGNATURE", None, "tool_calls"),
    ],
)
def test_a_finish_is_that_of_the_answer_with_its_calls(reason: str, plain: str | None, with_call: str) -> None:
    assert AnswerReader(MODEL).read(response(finish=reason)).finish == plain
    assert AnswerReader(MODEL).read(response(CALL, finish=reason)).finish == with_call


def test_thoughts_are_no_text_and_a_blocked_prompt_is_a_refusal() -> None:
    thought = AnswerReader(MODEL).read(response({"text": "Hm.", "thought": True}, {"text": "Yes."}))
    assert (thought.text, thought.thinking_bytes) == ("Yes.", 3)
    blocked = types.GenerateContentResponse.model_validate({"prompt_feedback": {"block_reason": "SAFETY"}})
    assert AnswerReader(MODEL).read(blocked).finish == "refusal"


def test_usage_before_more_text_is_no_count_of_the_answer() -> None:
    reader = AnswerReader(MODEL)
    read = [reader.read(chunk) for chunk in (response({"text": "a"}, usage=0), response({"text": "b"}))]
    assert [delta.usage for delta in (*read, reader.read(response(finish="STOP")))] == [None, None, None]
    each = AnswerReader(MODEL)
    begun = each.read(response({"text": "a"}, usage=1))
    assert begun.usage is None and begun.usage_so_far == Usage(input_tokens=5, output_tokens=1)
    assert each.read(response(finish="STOP")).usage == Usage(input_tokens=5, output_tokens=1)


def test_the_served_tier_is_in_a_header() -> None:
    answered = response(sdk_http_response=types.HttpResponse(headers={TIER_HEADER.title(): "PRIORITY"}))
    assert AnswerReader(MODEL).read(answered).service_tier == "priority"
    assert AnswerReader(MODEL).read(response()).service_tier is None


def test_log_probabilities_take_openais_form() -> None:
    token = {"token": "é", "log_probability": -0.5, "token_id": 7}
    result = types.LogprobsResult.model_validate(
        {"chosen_candidates": [token, token], "top_candidates": [{"candidates": [token]}]}
    )
    shown = {"token": "é", "logprob": -0.5, "bytes": [195, 169]}
    content = [shown | {"top_logprobs": [shown]}, shown | {"top_logprobs": []}]
    assert openai_logprobs(result) == {"content": content, "refusal": None} and openai_logprobs(None) is None
