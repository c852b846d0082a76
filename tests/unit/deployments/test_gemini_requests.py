"""Requests to Gemini hold what was given, in Gemini's form, by the rules of the model."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.providers.gemini.config import request_config
from deployments.providers.gemini.contents import request_contents
from deployments.providers.gemini.thought_signatures import SKIPS_VALIDATION, sign, thought_signature_of
from routing.catalogue import Model, load_catalogue
from routing.chat import ChatOptions, Detail, Image, Message, ResponseFormat, Tool, ToolCall, ToolChoice
from routing.errors import ProviderRefused
from routing.models import ModelRequest

CATALOGUE = load_catalogue()
BUDGET, LEVEL = CATALOGUE.get("gemini-2.5-flash"), CATALOGUE.get("gemini-3.5-flash-lite")
HELLO = Message(role="user", content=("hello",))
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False}


def request(*messages: Message, **more: Any) -> ModelRequest:
    return ModelRequest(model="m", messages=messages or (HELLO,), **more)


def config(model: Model = LEVEL, **more: Any) -> dict[str, Any]:
    sent = request_config(model, request(**more)).model_dump(exclude_none=True, mode="json")
    assert sent.pop("automatic_function_calling")["disable"] is True and sent.pop("automatic_continuation") is False
    return sent


def turns(*messages: Message, model: Model = LEVEL) -> list[dict[str, Any]]:
    return [
        content.model_dump(exclude_none=True, mode="json") for content in request_contents(model, request(*messages))
    ]


def call(call_id: str = "c1", signature: str | None = None, **more: Any) -> ToolCall:
    return ToolCall(call_id=call_id, signature=signature, **({"name": "f", "arguments": "{}"} | more))


def result(call_id: str = "c1", text: str = "rain") -> Message:
    return Message(role="tool", content=(text,), tool_call_id=call_id)


def test_a_bare_request_sends_its_limit_alone() -> None:
    assert config(max_output_tokens=9) == {"max_output_tokens": 9}
    assert turns() == [{"role": "user", "parts": [{"text": "hello"}]}]


def test_the_limit_holds_text_and_thinking_up_to_the_models_own() -> None:
    assert config(max_output_tokens=100, thinking_tokens=512)["max_output_tokens"] == 612
    assert config(max_output_tokens=65_000, thinking_tokens=1_024)["max_output_tokens"] == 65_536


@pytest.mark.parametrize(
    ("model", "effort", "thinking"),
    [
        (LEVEL, "minimal", {"thinking_level": "MINIMAL"}),
        (LEVEL, "high", {"thinking_level": "HIGH"}),
        (BUDGET, "none", {"thinking_budget": 0}),
        (BUDGET, "low", {"thinking_budget": 1_024}),
        (BUDGET, None, None),
    ],
)
def test_thinking_is_a_level_or_a_budget(model: Model, effort: Any, thinking: dict[str, Any] | None) -> None:
    # A second attempt has more room, which is no larger budget.
    assert config(model, effort=effort, thinking_tokens=40_000).get("thinking_config") == thinking


def test_sampling_has_geminis_names() -> None:
    options = ChatOptions(
        temperature=0.0,
        top_p=0.5,
        seed=2**40 + 3,
        frequency_penalty=0.1,
        presence_penalty=-0.1,
        stop=("a", "b"),
        logprobs=True,
        top_logprobs=2,
        service_tier="flex",
    )
    sent = config(options=options)
    assert (sent["temperature"], sent["top_p"], sent["stop_sequences"]) == (0.0, 0.5, ["a", "b"])
    assert (sent["frequency_penalty"], sent["presence_penalty"]) == (0.1, -0.1)
    assert (sent["response_logprobs"], sent["logprobs"], sent["service_tier"]) == (True, 2, "flex")
    assert sent["seed"] == 3


@pytest.mark.parametrize("tier", ["auto", "default", None])
def test_the_common_tier_is_not_named(tier: Any) -> None:
    assert "service_tier" not in config(options=ChatOptions(service_tier=tier))


def test_tools_are_declared_with_their_json_schema() -> None:
    tools = (Tool(name="f", description="Do it.", parameters=SCHEMA, strict=True), Tool(name="g"))
    sent = config(options=ChatOptions(tools=tools))
    declared = [{"name": "f", "description": "Do it.", "parameters_json_schema": SCHEMA}, {"name": "g"}]
    assert sent["tools"] == [{"function_declarations": declared}] and "tool_config" not in sent


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (ToolChoice(mode="auto"), {"mode": "AUTO"}),
        (ToolChoice(mode="none"), {"mode": "NONE"}),
        (ToolChoice(mode="required"), {"mode": "ANY"}),
        (ToolChoice(mode="function", name="f"), {"mode": "ANY", "allowed_function_names": ["f"]}),
    ],
)
def test_a_choice_is_a_mode(choice: ToolChoice, sent: dict[str, Any]) -> None:
    options = ChatOptions(tools=(Tool(name="f"),), tool_choice=choice)
    assert config(options=options)["tool_config"] == {"function_calling_config": sent}
    # Without declarations Gemini refuses it.
    assert "tool_config" not in config(options=ChatOptions(tool_choice=choice))


def test_formats_are_a_type_and_a_schema() -> None:
    strict = ResponseFormat(type="json_schema", name="s", schema=SCHEMA, strict=True)
    sent = config(options=ChatOptions(response_format=strict))
    assert (sent["response_mime_type"], sent["response_json_schema"]) == ("application/json", SCHEMA)
    some = config(options=ChatOptions(response_format=ResponseFormat(type="json_object")))
    assert some["response_mime_type"] == "application/json" and "response_json_schema" not in some
    assert "response_mime_type" not in config(options=ChatOptions(response_format=ResponseFormat(type="text")))


def test_messages_of_one_role_are_one_turn_and_empty_ones_none() -> None:
    said = [Message(role="user", content=(text,)) for text in ("a", "", "b")]
    answered = Message(role="assistant", content=("c",))
    assert turns(*said, Message(role="system", content=("s",)), answered, Message(role="assistant"), HELLO) == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}]},
        {"role": "user", "parts": [{"text": "hello"}]},
    ]


def test_texts_and_images_keep_their_order_and_detail() -> None:
    low, high = Image(data=b"a", media_type="image/png", detail="low"), Image(data=b"b", detail="high")
    said = Message(role="user", content=("one", low, "two", high, Image(data=b"c")))
    (turn,) = turns(said)
    levels = [part.get("media_resolution", {}).get("level") for part in turn["parts"]]
    assert [part.get("text") for part in turn["parts"]] == ["one", None, "two", None, None]
    assert levels == [None, "MEDIA_RESOLUTION_LOW", None, "MEDIA_RESOLUTION_HIGH", None]
    assert turn["parts"][1]["inline_data"]["mime_type"] == "image/png"
    # A model that counts the same for every detail is not told.
    assert not any("media_resolution" in part for part in turns(said, model=BUDGET)[0]["parts"])


def test_an_image_is_sent_in_low_resolution_where_it_has_no_more_pixels_than_that_holds() -> None:
    sizes: tuple[tuple[int, int, Detail], ...] = ((700, 200, "auto"), (700, 201, "auto"), (700, 200, "high"))
    images = [Image(data=b"a", width_px=width, height_px=height, detail=detail) for width, height, detail in sizes]
    (turn,) = turns(Message(role="user", content=tuple(images)))
    levels = [part.get("media_resolution", {}).get("level") for part in turn["parts"]]
    assert levels == ["MEDIA_RESOLUTION_LOW", None, "MEDIA_RESOLUTION_HIGH"]
    assert [LEVEL.tokens_of(image) for image in images] == [280, 1_120, 1_120]


def test_results_are_one_turn_with_the_names_and_ids_of_their_calls() -> None:
    calls = Message(role="assistant", content=("Wait.",), tool_calls=(call(), call("c2", name="g")))
    sent = turns(HELLO, calls, result(), result("c2", "sun"), HELLO)
    assert [turn["role"] for turn in sent] == ["user", "model", "user", "user"]
    assert [part["function_response"] for part in sent[2]["parts"]] == [
        {"id": "c1", "name": "f", "response": {"output": "rain"}},
        {"id": "c2", "name": "g", "response": {"output": "sun"}},
    ]
    assert [part.get("function_call", {}).get("id") for part in sent[1]["parts"]] == [None, "c1", "c2"]


def test_an_id_that_is_given_again_names_the_call_of_its_own_turn() -> None:
    calls = [Message(role="assistant", tool_calls=(call(name=name),)) for name in ("f", "g")]
    sent = turns(HELLO, calls[0], result(), calls[1], result())
    assert [sent[index]["parts"][0]["function_response"]["name"] for index in (2, 4)] == ["f", "g"]


def test_turns_around_an_empty_message_are_one() -> None:
    said = Message(role="assistant", content=("a",))
    sent = turns(HELLO, said, Message(role="user", content=("",)), said, HELLO)
    assert [len(turn["parts"]) for turn in sent] == [1, 2, 1]


def test_a_foreign_id_becomes_the_same_other_one_in_call_and_result() -> None:
    foreign = "toolu." + "A" * 90
    sent = turns(HELLO, Message(role="assistant", tool_calls=(call(foreign),)), result(foreign))
    (first,), (second,) = sent[1]["parts"], sent[2]["parts"]
    assert first["function_call"]["id"] == second["function_response"]["id"] != foreign


def test_a_signature_returns_to_its_own_model_and_to_no_other() -> None:
    signed = sign("gemini-3.5-flash-lite", b"\x00thought")
    assert thought_signature_of(signed, "gemini-3.5-flash-lite") == b"\x00thought"
    for other in (None, "", "[1]", "gemini:gemini-3.5-flash-lite:?", "gemini:gemini-3.5-flash-lite:"):
        assert thought_signature_of(other, "gemini-3.5-flash-lite") is None
    assert thought_signature_of(signed, "gemini-3.8-flash") is None and sign("m", None) is None


def signatures(model: Model, *calls: ToolCall) -> list[bytes | None]:
    said = request(HELLO, Message(role="assistant", tool_calls=calls), *(result(one.call_id) for one in calls))
    return [part.thought_signature for part in request_contents(model, said)[1].parts or ()]


def test_the_first_call_of_a_turn_has_its_signature_or_the_documented_substitute() -> None:
    own = sign(LEVEL.vendor_name, b"mine")
    assert signatures(LEVEL, call(), call("c2")) == [SKIPS_VALIDATION, None]
    assert signatures(LEVEL, call(signature=own), call("c2")) == [b"mine", None]
    assert signatures(LEVEL, call(signature="another vendor's")) == [SKIPS_VALIDATION]
    assert signatures(BUDGET, call()) == [None]


def test_an_image_in_a_result_is_a_part_of_it_for_models_that_take_one() -> None:
    with_image = Message(role="tool", content=("a map", Image(data=b"a", media_type="image/png")), tool_call_id="c1")
    messages = (HELLO, Message(role="assistant", tool_calls=(call(),)), with_image)
    (part,) = turns(*messages)[-1]["parts"]
    assert part["function_response"]["response"] == {"output": "a map"}
    assert part["function_response"]["parts"] == [{"inline_data": {"mime_type": "image/png", "data": "YQ=="}}]
    with pytest.raises(ProviderRefused):
        turns(*messages, model=BUDGET)


REFUSED: dict[str, tuple[Message, ...]] = {
    "system messages alone": (Message(role="system", content=("Be brief.",)),),
    "an empty message": (Message(role="user", content=("",)),),
    "the assistant last": (HELLO, Message(role="assistant", content=("{",))),
    "arguments of no object": (HELLO, Message(role="assistant", tool_calls=(call(arguments="[1]"),)), result()),
    "arguments of no JSON": (HELLO, Message(role="assistant", tool_calls=(call(arguments="{"),)), result()),
    "a result of no call": (HELLO, result("other")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_gemini_never_takes_is_refused_at_no_cost(name: str) -> None:
    with pytest.raises(ProviderRefused) as refused:
        turns(*REFUSED[name])
    assert (refused.value.status, refused.value.param, refused.value.billable) == (400, "messages", False)


def test_a_model_that_continues_an_answer_gets_it_last() -> None:
    assert turns(HELLO, Message(role="assistant", content=("{",)), model=BUDGET)[-1]["role"] == "model"
