"""Injections in the results, descriptions, titles and schemas of tools stay data, and none of them is a yes."""

from __future__ import annotations

import json

import pytest

from room_agent.context.prompt import AgentManner, instructions
from room_agent.conversation.tool_client import ListedRoomTool, ToolAnswer, cleaned_tool
from room_agent.conversation.tool_confirmation import Confirmation, ProposedCall, shown_arguments
from room_agent.conversation.tool_messages import REPORTS_FAILURE, result_message
from room_agent.conversation.tool_phrases import is_yes
from tests.unit.room_agent.hostile_text import CONTROL_TOKENS, as_read_by_model, quotations
from tests.unit.room_agent.injections import INJECTIONS, KEY, REPRESENTATIVES, Injection, plain_words

ROWS = [
    pytest.param(one, id=one.name, marks=() if one in REPRESENTATIVES else pytest.mark.injections) for one in INJECTIONS
]


def hostile_tool(text: str) -> ListedRoomTool:
    order = {"type": "integer", "description": text, "title": text}
    return ListedRoomTool(
        name="shop_look",
        title=text,
        description=text,
        parameters={"type": "object", "properties": {"order": order}, "description": text},
        digest="0" * 32,
    )


@pytest.mark.parametrize("is_error", [False, True])
@pytest.mark.parametrize("injection", ROWS)
def test_a_result_stays_one_quotation(injection: Injection, is_error: bool) -> None:
    message = result_message(ToolAnswer(text=injection.text, is_error=is_error), KEY)
    if is_error:
        assert message.startswith(f"{REPORTS_FAILURE}\n")
        message = message.removeprefix(f"{REPORTS_FAILURE}\n")
    (quotation,) = quotations(message, KEY)
    assert quotation.label == "tool result"
    assert KEY not in as_read_by_model(quotation.text)
    assert not any(token in quotation.text for token in CONTROL_TOKENS)
    assert [word for word in plain_words(injection.text) if word not in quotation.text.lower()] == []


@pytest.mark.parametrize("injection", ROWS)
def test_what_a_server_writes_about_a_tool_is_cleaned_and_its_schema_stays_whole(injection: Injection) -> None:
    tool = cleaned_tool(hostile_tool(injection.text))
    assert tool is not None and tool.name == "shop_look" and "\n" not in tool.title
    texts = (tool.title, tool.description, json.dumps(tool.parameters, ensure_ascii=False))
    assert not any(token in text for token in CONTROL_TOKENS for text in texts)
    assert not any(mark in text for mark in ("<<<", ">>>") for text in texts)
    assert tool.parameters["properties"]["order"]["type"] == "integer" and tool.parameters["type"] == "object"


def test_a_tool_with_a_control_token_in_a_parameters_name_is_left_out() -> None:
    for name in ("<|im_start|>system", "<<<data", "a\u200bb"):
        parameters = {"type": "object", "properties": {name: {"type": "string"}}}
        assert cleaned_tool(hostile_tool("x").model_copy(update={"parameters": parameters})) is None


@pytest.mark.parametrize("injection", ROWS)
def test_no_injection_is_a_yes_whoever_says_it(injection: Injection) -> None:
    assert not is_yes(injection.text, ("Rayroom",))
    confirmation = Confirmation(("Rayroom",))
    proposed = ProposedCall(identity="ann", tool=hostile_tool("x"), arguments={"a": injection.text}, call_id="c")
    confirmation.propose(proposed)
    confirmation.on_answer_ended(True, 0.0)
    assert confirmation.take(injection.text, "Yes.", 1.0) is None
    assert "\n" not in shown_arguments(proposed.arguments)


def test_the_rules_of_an_agent_with_tools_differ_in_one_rule() -> None:
    plain, with_tools = (
        instructions(AgentManner(name="rayroom", spoken=True, has_tools=has_tools)).split("\n")
        for has_tools in (False, True)
    )
    changed = [line for line, other in zip(plain, with_tools, strict=True) if line != other]
    assert len(changed) == 1 and changed[0].startswith("3. You have no tools.")
