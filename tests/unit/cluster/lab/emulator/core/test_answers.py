"""An answer is thinking first, then words, JSON or tool calls, all out of one output limit."""

from __future__ import annotations

import json
from dataclasses import replace

from cluster.lab.emulator.core.answers import BROKEN_ARGUMENTS, AnswerStyle, GeneratedAnswer, compose
from cluster.lab.emulator.core.content import RequestContent, RequestMessage
from cluster.lab.emulator.core.faults import Extras, Fault
from cluster.lab.emulator.core.request import ParsedRequest
from cluster.lab.emulator.core.tools import FOREIGN_TOOL, OfferedTool, OfferedTools

STYLE = AnswerStyle(answer_tokens=24, seed=7, extras=Extras(), refusal_words=("No.",))
REQUEST = ParsedRequest(
    vendor="openai",
    content=RequestContent(text_tokens=5, digest=b"1"),
    turns=(RequestMessage("user", ("call the lamp",)),),
)
LAMP = OfferedTools(tools=(OfferedTool(name="lamp"),))


def answer(fault: Fault | None = None, cached: Extras | None = None, **changes: object) -> GeneratedAnswer:
    return compose(replace(REQUEST, **changes), fault or Fault(), STYLE, cached=cached)  # type: ignore[arg-type]


def test_thinking_and_words_share_the_output_limit() -> None:
    thoughtful = answer(thinking_tokens=100, max_tokens=110)
    assert len(thoughtful.words) == 10 and thoughtful.end == "length" and thoughtful.visible_tokens == 10
    assert (thoughtful.token_counts.output_tokens, thoughtful.token_counts.extras.thinking_tokens) == (110, 100)


def test_a_limit_below_the_thinking_leaves_an_empty_answer_that_is_billed() -> None:
    empty = answer(thinking_tokens=100, max_tokens=64)
    assert (empty.words, empty.end, empty.token_counts.output_tokens) == ((), "length", 64)
    assert answer(thinking_tokens=100, max_tokens=64, tools=LAMP).tool_calls == ()


def test_thinking_comes_on_top_where_there_is_no_limit() -> None:
    assert answer(thinking_tokens=100).token_counts.output_tokens == 124 and answer(thinking_tokens=100).end == "stop"


def test_a_tool_call_replaces_the_words_and_counts_as_output() -> None:
    called = answer(tools=LAMP)
    assert [call.name for call in called.tool_calls] == ["lamp"] and called.words == ()
    assert called.end == "tool_calls" and called.token_counts.output_tokens == 2


def test_a_tool_call_beyond_the_limit_ends_in_its_arguments() -> None:
    schema = {"type": "object", "properties": {"color": {"type": "string"}}, "required": ["color"]}
    lamp = OfferedTools(tools=(OfferedTool(name="lamp", parameters=schema),))
    cut = answer(tools=lamp, max_tokens=2)
    assert cut.end == "length" and cut.tool_calls[0].arguments.strip() == '{"color":' and cut.visible_tokens == 2


def test_an_answer_has_the_format_that_was_requested() -> None:
    schema = {"type": "object", "properties": {"red": {"type": "boolean"}}, "required": ["red"]}
    assert json.loads(answer(response_schema=schema).text) == {"red": False}


def test_the_first_stop_sequence_ends_the_answer() -> None:
    whole = answer()
    stopped = answer(stop=("speaking", "emulator"))
    assert stopped.text == "This is the" and stopped.stop_sequence == "emulator" and stopped.end == "stop"
    assert answer(stop=("nothing like it",)).text == whole.text and answer(stop=("This",)).words == ()


def test_cached_tokens_of_the_request_are_part_of_it_and_those_of_a_fault_are_not() -> None:
    part, beyond = answer(cached=Extras(cached_tokens=3)), answer(Fault(extras=Extras(cached_tokens=3)))
    assert (part.token_counts.input_tokens, part.token_counts.extras.cached_tokens) == (5, 3)
    assert (beyond.token_counts.input_tokens, beyond.token_counts.extras.cached_tokens) == (8, 3)


def test_a_fault_serves_another_tier_and_another_order_of_usage() -> None:
    odd = answer(Fault(served_tier="priority", usage_first=True), service_tier="default")
    assert odd.service_tier == "priority" and odd.usage_first and answer(service_tier="flex").service_tier == "flex"


def test_a_fault_calls_a_foreign_tool_or_breaks_the_arguments() -> None:
    assert answer(Fault(foreign_tool=True)).tool_calls[0].name == FOREIGN_TOOL
    unnamed = (RequestMessage("user", ("hello",)),)
    (broken,) = answer(Fault(broken_arguments=True), tools=LAMP, turns=unnamed).tool_calls
    assert broken.arguments == BROKEN_ARGUMENTS and broken.arguments_json() == {}
