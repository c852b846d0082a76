"""The emulated model calls the tools that are forced or named, the same ones for the same request."""

from __future__ import annotations

import json

import pytest

from cluster.lab.emulator.core.content import RequestMessage
from cluster.lab.emulator.core.tools import FOREIGN_TOOL, OfferedTool, OfferedTools, tool_calls

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = (OfferedTool(name="get_weather", parameters=CITY), OfferedTool(name="book-table"))


def question(text: str) -> list[RequestMessage]:
    return [RequestMessage("user", (text,))]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Use get_weather now", ["get_weather"]),
        ("please Get Weather for Bern", ["get_weather"]),
        ("book table and get weather", ["get_weather", "book-table"]),
        ("what is the weather", []),
        ("forget weathers", []),
    ],
)
def test_an_offered_tool_is_called_where_the_last_message_names_it(text: str, names: list[str]) -> None:
    calls = tool_calls(OfferedTools(tools=TOOLS), question(text), b"7")
    assert [call.name for call in calls] == names


def test_a_forced_tool_is_called_without_being_named() -> None:
    forced = OfferedTools(tools=TOOLS, mode="required", names=("book-table",))
    either = OfferedTools(tools=TOOLS, mode="required")
    assert [call.name for call in tool_calls(forced, question("hello"), b"7")] == ["book-table"]
    assert [call.name for call in tool_calls(either, question("hello"), b"7")] == ["get_weather"]


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_a_result_of_a_tool_is_answered_in_words(mode: str) -> None:
    offered = OfferedTools(tools=TOOLS, mode="auto" if mode == "auto" else "required")
    messages = [*question("get weather"), RequestMessage("tool", ("get weather: rain",), results=("call_1",))]
    assert tool_calls(offered, messages, b"7") == ()


def test_no_tool_is_called_where_none_may_be() -> None:
    assert tool_calls(OfferedTools(tools=TOOLS, mode="none"), question("get weather"), b"7") == ()
    assert tool_calls(OfferedTools(tools=TOOLS, names=("book-table",)), question("get weather"), b"7") == ()
    assert tool_calls(OfferedTools(mode="required"), question("get weather"), b"7") == ()


def test_one_tool_is_called_at_a_time_where_calls_are_not_parallel() -> None:
    offered = OfferedTools(tools=TOOLS, parallel=False)
    assert len(tool_calls(offered, question("book table and get weather"), b"7")) == 1


def test_arguments_are_an_instance_of_the_schema_and_come_in_pieces() -> None:
    (call,) = tool_calls(OfferedTools(tools=TOOLS), question("get weather"), b"7")
    assert json.loads(call.arguments) == {"city": "text"} and "".join(call.pieces) == call.arguments
    assert call.tokens == 1 + len(call.pieces) > 2


def test_the_same_request_has_the_same_call_and_another_one_another_number() -> None:
    first, again, other = (
        tool_calls(OfferedTools(tools=TOOLS), question("get weather"), d) for d in (b"1", b"1", b"2")
    )
    assert first == again and first[0].number != other[0].number and len(first[0].number) == 24


def test_a_tool_that_nobody_offered_is_called_by_a_fault_alone() -> None:
    (call,) = tool_calls(OfferedTools(), question("hello"), b"7", foreign=True)
    assert call.name == FOREIGN_TOOL and json.loads(call.arguments) == {}
