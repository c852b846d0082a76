"""A simulated model calls tools, answers in JSON and obeys limits, so that clients can be tried without keys."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deployments.providers.simulated_reply import SimulatedReply, simulated_reply
from routing.catalogue import load_catalogue
from routing.chat import ChatOptions, Message, ResponseFormat, Tool, ToolChoice
from routing.models import ModelRequest

MODEL = load_catalogue().get("gpt-6-luna")
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = (Tool(name="get_weather", parameters=CITY), Tool(name="look_up"))
RESULT = Message(role="tool", content=("sunny",), tool_call_id="call_1")


def reply(text: str = "Hello", *more: Message, max_output_tokens: int = 300, **options: Any) -> SimulatedReply:
    messages = (Message(role="user", content=(text,)), *more)
    request = ModelRequest(
        model=MODEL.name, messages=messages, max_output_tokens=max_output_tokens, options=ChatOptions(**options)
    )
    return simulated_reply(MODEL, request, seed=7)


@pytest.mark.parametrize(
    ("text", "choice", "called"),
    [
        ("Hello", None, []),
        ("Please get weather of Rome", None, ["get_weather"]),
        ("Use look_up, then get_weather.", None, ["get_weather", "look_up"]),
        ("Please get_weather", ToolChoice(mode="none"), []),
        ("Hello", ToolChoice(mode="required"), ["get_weather"]),
        ("Hello", ToolChoice(mode="function", name="look_up"), ["look_up"]),
    ],
)
def test_a_tool_is_called_where_it_is_forced_or_named(text: str, choice: ToolChoice | None, called: list[str]) -> None:
    answer = reply(text, tools=TOOLS, tool_choice=choice)
    assert [call.name for call in answer.tool_calls] == called
    assert (answer.finish == "tool_calls") is bool(called) and bool(answer.pieces) is not bool(called)


def test_one_tool_at_a_time_is_called_where_calls_in_parallel_are_off() -> None:
    answer = reply("Use look_up, then get_weather.", tools=TOOLS, parallel_tool_calls=False)
    assert [call.name for call in answer.tool_calls] == ["get_weather"]


def test_the_result_of_a_tool_is_answered_in_words() -> None:
    assert reply("Please get_weather", RESULT, tools=TOOLS).finish == "stop"


def test_the_arguments_are_an_instance_of_the_tools_schema() -> None:
    (call,) = reply("get_weather", tools=TOOLS).tool_calls
    assert set(json.loads(call.arguments)) == {"city"}


def test_a_requested_schema_is_answered_by_an_instance() -> None:
    wanted = ResponseFormat(type="json_schema", name="place", schema=CITY)
    assert set(json.loads("".join(reply(response_format=wanted).pieces))) == {"city"}
    any_object = ResponseFormat(type="json_object")
    assert isinstance(json.loads("".join(reply(response_format=any_object).pieces)), dict)


def test_the_deltas_of_a_stream_are_the_whole_reply() -> None:
    answer = reply("Use look_up, then get_weather.", tools=TOOLS)
    deltas = [piece for delta in answer.deltas() for piece in delta.tool_calls]
    assert len(deltas) == answer.tokens
    for index, call in enumerate(answer.tool_calls):
        own = [delta for delta in deltas if delta.index == index]
        assert (own[0].call_id, own[0].name) == (call.call_id, call.name)
        assert "".join(delta.arguments for delta in own) == call.arguments


def test_a_reply_ends_at_the_output_limit_and_before_a_stop_sequence() -> None:
    short = reply(max_output_tokens=3)
    assert (len(short.pieces), short.finish) == (3, "length")
    stopped = reply(stop=("gpt",))
    assert ("".join(stopped.pieces), stopped.finish) == ("[simulated ", "stop")
