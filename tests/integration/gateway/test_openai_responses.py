"""The real `openai` client against /v1/responses, whole and streamed, with its strict validation."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel

from deployments.api.openapi.responses_object import ResponseEvent, ResponseObject
from deployments.common.settings import LlmSettings
from deployments.gateway.service import Gateway
from routing.chat import ToolCall, ToolCallDelta
from routing.errors import ProviderTimeout
from routing.models import Answer, Delta
from tests.support.credentials import Bearer
from tests.support.gateway import InProcessCluster, gateway_in_process
from tests.support.scripted_replica import USAGE, ScriptedReplica

LUNA = "gpt-6-luna"
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL: Any = {"type": "function", "name": "weather", "description": "x", "parameters": CITY, "strict": True}
CALL = ToolCall(call_id="call_1", name="weather", arguments='{"city": "Rome"}', signature="thought")
LOGPROBS = {"content": [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}], "refusal": None}


class City(BaseModel):
    city: str


@pytest.fixture
async def gateway_and_cluster(
    tmp_path: Path, models: ScriptedReplica
) -> AsyncIterator[tuple[Gateway, InProcessCluster]]:
    llm = LlmSettings(simple=(LUNA,), complex=("gpt-6.1-sol",), targets=1)
    async with gateway_in_process(tmp_path, llm=llm, leaf=models) as both:
        yield both


async def test_a_turn_is_answered_and_billed(client: openai.AsyncOpenAI, cluster: InProcessCluster) -> None:
    response = await client.responses.create(model="simple", input="Hello", instructions="Be brief.")
    (event,) = await cluster.events()
    assert (response.output_text, response.status, response.model) == ("Hello", "completed", LUNA)
    assert response.usage is not None and (response.usage.input_tokens, response.usage.output_tokens) == (7, 3)
    assert response.instructions == "Be brief." and event["service"] == "llm"


async def test_a_function_is_called_and_its_output_answered_with_the_vendors_signature(
    client: openai.AsyncOpenAI, models: ScriptedReplica
) -> None:
    models.answers.append(Answer(text="", model=LUNA, finish="tool_calls", usage=USAGE, tool_calls=(CALL,)))
    history: list[Any] = [{"role": "user", "content": "What is the weather in Rome?"}]
    response = await client.responses.create(model="simple", input=history, tools=[TOOL], tool_choice="required")
    (call,) = response.output
    assert call.type == "function_call" and json.loads(call.arguments) == {"city": "Rome"}
    history += [*response.output, {"type": "function_call_output", "call_id": call.call_id, "output": "20 C"}]
    await client.responses.create(model="simple", input=history, tools=[TOOL])
    _, called, answered = models.requests[1].messages
    assert called.tool_calls == (CALL,) and (answered.tool_call_id, answered.text) == ("call_1", "20 C")


async def test_an_answer_is_parsed_to_the_type_that_was_requested(
    client: openai.AsyncOpenAI, models: ScriptedReplica
) -> None:
    models.answers.append(Answer(text='{"city": "Rome"}', model=LUNA, finish="stop", usage=USAGE))
    response = await client.responses.parse(model="simple", input="Where?", text_format=City)
    assert response.output_parsed == City(city="Rome")


async def test_a_refusal_and_a_limit_are_distinguished(client: openai.AsyncOpenAI, models: ScriptedReplica) -> None:
    for text, finish in (("I cannot.", "refusal"), ("", "refusal"), ("It is", "length")):
        models.answers.append(Answer(text=text, model=LUNA, finish=finish, usage=USAGE))  # type: ignore[arg-type]
    refused, filtered, cut = [await client.responses.create(model=LUNA, input="x") for _ in range(3)]
    (message,) = refused.output
    assert message.type == "message" and message.content[0].type == "refusal" and refused.status == "completed"
    assert filtered.incomplete_details is not None and filtered.incomplete_details.reason == "content_filter"
    assert cut.incomplete_details is not None and cut.incomplete_details.reason == "max_output_tokens"
    assert cut.status == "incomplete" and cut.output_text == "It is"


async def test_a_streamed_text_grows_by_typed_events(client: openai.AsyncOpenAI, models: ScriptedReplica) -> None:
    models.streams.append((Delta(text="Hel", logprobs=LOGPROBS), Delta(text="lo"), Delta(finish="stop", usage=USAGE)))
    async with client.responses.stream(model="simple", input="Hello") as stream:
        types = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert types == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert final.output_text == "Hello" and final.usage is not None and final.usage.total_tokens == 10


async def test_streamed_calls_may_alternate_after_a_text(client: openai.AsyncOpenAI, models: ScriptedReplica) -> None:
    models.streams.append(
        (
            Delta(text="I look."),
            Delta(tool_calls=(ToolCallDelta(index=0, call_id="call_1", name="weather", signature="thought"),)),
            Delta(
                tool_calls=(
                    ToolCallDelta(index=0, arguments='{"city": '),
                    ToolCallDelta(index=1, call_id="b", name="f"),
                )
            ),
            Delta(tool_calls=(ToolCallDelta(index=1, arguments="{}"), ToolCallDelta(index=0, arguments='"Rome"}'))),
            Delta(finish="tool_calls", usage=USAGE),
        )
    )
    async with client.responses.stream(model="simple", input="Weather?", tools=[TOOL]) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    message, first, second = final.output
    assert message.type == "message" and final.output_text == "I look."
    assert first.type == second.type == "function_call"
    assert (first.arguments, second.arguments, second.call_id) == ('{"city": "Rome"}', "{}", "b")
    done: list[Any] = [event.item for event in events if event.type == "response.output_item.done"]
    assert [item.id for item in done] == [message.id, first.id, second.id]
    assert [event.sequence_number for event in events if hasattr(event, "sequence_number")] == list(range(len(events)))
    output: Any = {"type": "function_call_output", "output": "x"}
    history: list[Any] = [*final.output, output | {"call_id": first.call_id}, output | {"call_id": "b"}]
    await client.responses.create(model="simple", input=[{"role": "user", "content": "x"}, *history])
    assert models.requests[1].messages[1].tool_calls[0] == CALL


async def test_an_empty_streamed_answer_is_a_message_without_text(
    client: openai.AsyncOpenAI, models: ScriptedReplica
) -> None:
    models.streams.append((Delta(finish="length", usage=USAGE),))
    async with client.responses.stream(model=LUNA, input="Hello") as stream:
        types = [event.type async for event in stream]
    assert types[-1] == "response.incomplete" and "response.output_item.done" in types


async def test_an_error_in_a_stream_is_a_failed_response(http: httpx.AsyncClient, bearer: Bearer, models: Any) -> None:
    async def broken(request: Any) -> AsyncIterator[Delta]:
        yield Delta(text="Hel")
        raise ProviderTimeout()

    models.stream = broken
    response = await http.post("/v1/responses", json={"input": "Hello", "stream": True}, headers=bearer())
    events = [part.partition("\ndata: ")[2] for part in response.text.split("\n\n")[:-1]]
    last = json.loads(events[-1])
    assert last["type"] == "response.failed" and last["response"]["error"]["code"] == "server_error"
    assert last["response"]["rayroom"]["code"] == "provider_timeout" and last["response"]["status"] == "failed"
    for event in events:
        ResponseEvent.model_validate_json(event)
    ResponseObject.model_validate(last["response"])


async def test_a_request_that_needs_a_stored_state_is_refused_by_its_field(
    client: openai.AsyncOpenAI, models: ScriptedReplica
) -> None:
    for change in ({"previous_response_id": "resp_1"}, {"background": True}, {"tools": [{"type": "web_search"}]}):
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(**({"model": "simple", "input": "x"} | change))
        assert refused.value.param is not None and refused.value.param.startswith(next(iter(change)))
    with pytest.raises(openai.BadRequestError) as unsupported:
        await client.responses.create(model="gpt-6.1-sol", input="x", reasoning={"effort": "none"})
    assert unsupported.value.param == "reasoning.effort" and models.requests == []


async def test_the_whole_response_has_the_fields_of_its_schema(http: httpx.AsyncClient, bearer: Bearer) -> None:
    body = {"input": "Hello", "model": "simple", "tools": [TOOL], "text": {"verbosity": "low"}, "drop_params": True}
    response = await http.post("/v1/responses", json=body, headers=bearer())
    ResponseObject.model_validate(response.json())
