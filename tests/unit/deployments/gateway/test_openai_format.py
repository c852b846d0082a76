"""Answers in OpenAI's form: the real client accumulates the chunks of a stream to the whole answer."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from deployments.api.call_ids import split_call_id
from deployments.gateway.models import RoutedAnswer
from deployments.gateway.openai_format import ChatEvents, completion
from routing.chat import ToolCall, ToolCallDelta
from routing.errors import ProviderTimeout
from routing.models import Answer, Delta, Finish, Tier, Usage
from routing.policy import Decision

MODEL = "gpt-6-luna"
USAGE = Usage(input_tokens=7, output_tokens=3)
LOGPROBS = {"content": [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}], "refusal": None}


def routed(text: str = "", finish: Finish = "stop", **fields: Any) -> RoutedAnswer:
    answer = Answer(text=text, model=MODEL, finish=finish, usage=USAGE, **fields)
    decision = Decision(tier=Tier.SIMPLE, targets=(MODEL,), score=0.1, threshold=0.5, reasons=())
    return RoutedAnswer(answer=answer, decision=decision, cost_nanousd=5, attempts=1, vendor_s=0.1)


async def lines(*pieces: Delta | RoutedAnswer | Exception, with_usage: bool = False) -> list[dict[str, Any]]:
    """Return the events of a stream, without the last one, which is no JSON."""

    async def rest() -> AsyncGenerator[Delta | RoutedAnswer, None]:
        for piece in pieces[1:]:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    first = pieces[0]
    assert not isinstance(first, Exception)
    written = b"".join([part async for part in ChatEvents(with_usage).events(first, rest())]).decode()
    parts = [event.removeprefix("data: ") for event in written.split("\n\n")[:-1]]
    if parts[-1] == "[DONE]":
        parts.pop()
    return [json.loads(part) for part in parts]


def accumulated(chunks: list[dict[str, Any]]) -> ChatCompletion:
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    return state.get_final_completion()


def deltas(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]


async def test_the_first_delta_alone_names_the_role() -> None:
    chunks = await lines(Delta(text="Hello ", model=MODEL), Delta(text="there"), routed("Hello there"))
    assert deltas(chunks) == [{"role": "assistant", "content": "Hello "}, {"content": "there"}, {}]
    message = accumulated(chunks).choices[0].message
    assert (message.role, message.content) == ("assistant", "Hello there")


async def test_every_chunk_has_the_same_id_time_and_model() -> None:
    chunks = await lines(Delta(text="a", model=MODEL), Delta(text="b"), routed("ab"), with_usage=True)
    heads = [[chunk[name] for name in ("id", "object", "created", "model", "system_fingerprint")] for chunk in chunks]
    assert (
        len(chunks) == 4
        and heads == [heads[0]] * 4
        and heads[0][1:2] + heads[0][3:]
        == [
            "chat.completion.chunk",
            MODEL,
            None,
        ]
    )


async def test_the_usage_is_null_until_a_last_chunk_without_choices() -> None:
    pieces = Delta(text="a", model=MODEL), routed("a")
    first, ending, last = await lines(*pieces, with_usage=True)
    assert first["usage"] is ending["usage"] is None and last["choices"] == []
    assert (last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]) == (7, 3)
    assert ending["rayroom"]["cost_nanousd"] == 5 and "rayroom" not in first
    assert not any("usage" in chunk for chunk in await lines(*pieces))


async def test_an_empty_answer_has_a_role_and_no_text() -> None:
    (chunk,) = await lines(routed("", finish="length"))
    assert chunk["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunk["choices"][0]["finish_reason"] == "length"


CALL = ToolCall(call_id="call_1", name="weather", arguments='{"city": "Rome"}', signature="thought")


def test_a_whole_answer_with_tool_calls_has_no_text_and_ids_that_carry_the_signature() -> None:
    body = completion(routed(finish="tool_calls", tool_calls=(CALL,)))
    choice = ChatCompletion.model_validate(body).choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    (call,) = body["choices"][0]["message"]["tool_calls"]
    assert call["function"] == {"name": "weather", "arguments": '{"city": "Rome"}'} and call["type"] == "function"
    assert split_call_id(call["id"]) == ("call_1", "thought")


async def test_streamed_tool_calls_arrive_as_an_id_with_a_name_and_pieces_of_arguments() -> None:
    chunks = await lines(
        Delta(model=MODEL, tool_calls=(ToolCallDelta(index=0, call_id="call_1", name="weather", signature="thought"),)),
        Delta(tool_calls=(ToolCallDelta(index=0, arguments='{"city":'),)),
        Delta(tool_calls=(ToolCallDelta(index=0, arguments='"Rome"}'), ToolCallDelta(index=1, call_id="b", name="f"))),
        routed(finish="tool_calls", tool_calls=(CALL,)),
    )
    first, second, third, _ = deltas(chunks)
    assert first["role"] == "assistant" and first["content"] is None
    assert second == {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]}
    assert third["tool_calls"][1] == {
        "index": 1,
        "id": "b",
        "type": "function",
        "function": {"name": "f", "arguments": ""},
    }
    choice = accumulated(chunks).choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.tool_calls is not None
    call, other = choice.message.tool_calls
    assert call.type == other.type == "function" and split_call_id(call.id) == ("call_1", "thought")
    assert (call.function.name, call.function.arguments) == ("weather", '{"city":"Rome"}')


async def test_text_before_a_tool_call_is_kept() -> None:
    body = completion(routed("I look.", finish="tool_calls", tool_calls=(CALL,)))
    piece = ToolCallDelta(index=0, call_id="call_1", name="weather", arguments="{}")
    chunks = await lines(Delta(text="I look.", model=MODEL, tool_calls=(piece,)), routed(finish="tool_calls"))
    assert body["choices"][0]["message"]["content"] == deltas(chunks)[0]["content"] == "I look."


def test_a_refusal_has_a_field_of_its_own() -> None:
    refused, filtered = [
        ChatCompletion.model_validate(completion(routed(text, finish="refusal"))).choices[0] for text in ("No.", "")
    ]
    assert (refused.message.refusal, refused.message.content, refused.finish_reason) == ("No.", None, "stop")
    assert (filtered.message.refusal, filtered.message.content, filtered.finish_reason) == (
        None,
        None,
        "content_filter",
    )


async def test_a_streamed_refusal_ends_with_content_filter() -> None:
    chunks = await lines(Delta(text="No.", model=MODEL), routed("No.", finish="refusal"))
    assert chunks[-1]["choices"][0]["finish_reason"] == "content_filter"


async def test_log_probabilities_are_passed_on_whole_and_streamed() -> None:
    body = completion(routed("Hi", logprobs=LOGPROBS))
    chunks = await lines(Delta(text="Hi", model=MODEL, logprobs=LOGPROBS), routed("Hi", logprobs=LOGPROBS))
    whole, streamed = ChatCompletion.model_validate(body).choices[0], accumulated(chunks).choices[0]
    assert whole.logprobs is not None and streamed.logprobs is not None
    assert whole.logprobs.content == streamed.logprobs.content


@pytest.mark.parametrize(("tier", "expected"), [("priority", "priority"), ("on_demand", None), (None, None)])
async def test_the_served_tier_is_named_where_it_is_one_of_openais(tier: str | None, expected: str | None) -> None:
    body = completion(routed("Hi", service_tier=tier))
    chunks = await lines(Delta(text="Hi", model=MODEL), routed("Hi", service_tier=tier))
    assert body.get("service_tier") == chunks[-1].get("service_tier") == expected


async def test_an_error_after_the_first_piece_is_the_last_event() -> None:
    _, error = await lines(Delta(text="Hi", model=MODEL), ProviderTimeout())
    assert error["error"]["code"] == "provider_timeout"
