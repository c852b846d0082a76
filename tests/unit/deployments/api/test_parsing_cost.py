"""The cost of a wrong body does not grow with the number of its mistakes."""

from __future__ import annotations

import gc
import json
import random
import sys
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from deployments.api import body as body_module
from deployments.api.body import bad_input, parse_body
from deployments.api.chat.body import check_chat
from deployments.api.chat.schemas import ChatRequest
from deployments.api.embedding_schemas import EmbeddingRequest
from deployments.api.room_schemas import Heartbeat
from routing.errors import BadInput

MOST_ERRORS = 45
"""The errors of one object at most: one for each of its fields."""
COUNTING_CALLS = 20
"""The calls that count the values of a longer text before it is parsed, however many they are."""
USER: dict[str, Any] = {"role": "user", "content": "Hello"}


def unknown_keys(count: int) -> dict[str, int]:
    return {f"k{number}": number for number in range(count)}


def bad_messages(count: int) -> dict[str, Any]:
    return {"messages": [USER | unknown_keys(count)] * 50}


def bad_parts(count: int) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "x", "text": 7}] * min(64, count)}] * min(200, count)}


def bad_tools(count: int) -> dict[str, Any]:
    return {"messages": [USER], "tools": [{"type": "x", "function": 7}] * min(128, count)}


def bad_biases(count: int) -> dict[str, Any]:
    return {"messages": [USER], "logit_bias": {f"x{number}": "y" for number in range(count)}}


def bad_counters(count: int) -> dict[str, Any]:
    return {"counters": {f"X{number}": "y" for number in range(count)}}


def bad_inputs(count: int) -> dict[str, Any]:
    return {"input": [[-1, "x"]] * min(2_048, count)}


def bad_ids(count: int) -> dict[str, Any]:
    return {"input": [0, *["x"] * count]}


HOSTILE: dict[str, tuple[type[BaseModel], Any]] = {
    "unknown keys": (ChatRequest, unknown_keys),
    "unknown keys of messages": (ChatRequest, bad_messages),
    "bad parts": (ChatRequest, bad_parts),
    "bad tools": (ChatRequest, bad_tools),
    "bad biases": (ChatRequest, bad_biases),
    "bad counters": (Heartbeat, bad_counters),
    "bad inputs": (EmbeddingRequest, bad_inputs),
    "bad token ids": (EmbeddingRequest, bad_ids),
}


def calls_made(kind: type[BaseModel], value: Any) -> int:
    """Return the number of Python functions called to refuse a body."""
    text, made = json.dumps(value).encode(), 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal made
        made += event == "call"

    # A collection in between would call the finalizers of other tests' objects, and they would be counted.
    gc.disable()
    sys.setprofile(count)
    try:
        parse_body(kind, text)
    except BadInput:
        return made
    finally:
        sys.setprofile(None)
        gc.enable()
    pytest.fail("the body was accepted")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hundred_times_the_mistakes_take_the_same_steps(name: str) -> None:
    kind, build = HOSTILE[name]
    calls_made(kind, build(3))
    assert calls_made(kind, build(300)) <= calls_made(kind, build(3)) + COUNTING_CALLS


@pytest.fixture
def errors_built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list of the numbers of errors that pydantic builds for each wrong body."""
    built: list[int] = []

    def counted(error: ValidationError) -> BadInput:
        built.append(error.error_count())
        return bad_input(error)

    monkeypatch.setattr(body_module, "bad_input", counted)
    return built


@pytest.mark.parametrize("name", HOSTILE)
def test_few_errors_are_built_for_many_mistakes(name: str, errors_built: list[int]) -> None:
    kind, build = HOSTILE[name]
    with pytest.raises(BadInput):
        parse_body(kind, json.dumps(build(300)).encode())
    assert len(errors_built) == 1 and errors_built[0] <= MOST_ERRORS


def test_few_errors_are_built_whatever_is_wrong(errors_built: list[int]) -> None:
    rng = random.Random(7)
    values: list[Any] = [None, True, 7, -1.5, "x", [], {}, [USER] * 9, {"type": "x"}, [{"a": 1}] * 99]
    for _ in range(300):
        changed = {name: rng.choice(values) for name in rng.sample(sorted(ChatRequest.keys), 12)}
        messages = [{name: rng.choice(values) for name in ("role", "content", "tool_calls")} for _ in range(50)]
        try:
            check_chat(parse_body(ChatRequest, json.dumps({"messages": messages} | changed).encode()))
        except BadInput as error:
            assert error.param and "(" not in error.param
    assert len(errors_built) > 250 and max(errors_built) <= MOST_ERRORS
