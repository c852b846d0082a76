"""JSON is parsed only if the number of its values is bounded; text inside strings does not count."""

from __future__ import annotations

import json

import pytest

from deployments.api import json_text
from deployments.api.json_text import MAX_CONTAINERS, MAX_KEYS, MAX_STRINGS, MAX_VALUES, parse_json
from routing.errors import BadInput

HOSTILE = {
    "empty lists": b"[" + b",".join([b"[]"] * MAX_CONTAINERS) + b"]",
    "empty objects": b"[" + b",".join([b"{}"] * MAX_CONTAINERS) + b"]",
    "keys of one object": b"{" + b",".join(b'"%x":1' % key for key in range(MAX_KEYS + 1)) + b"}",
    "numbers": b"[" + b",".join([b"1"] * (MAX_VALUES + 2)) + b"]",
    "strings": b"[" + b",".join([b'""'] * (MAX_STRINGS + 1)) + b"]",
    "strings of commas": b"[" + b",".join([b'"\\",\\""'] * (MAX_STRINGS + 1)) + b"]",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_too_many_values_are_refused_before_one_is_built(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "from_json", lambda text: pytest.fail("the text was parsed"))
    with pytest.raises(BadInput) as refused:
        parse_json(HOSTILE[name], "messages.0")
    assert refused.value.param == "messages.0" and "too many values" in refused.value.message


@pytest.mark.parametrize(
    "text", ["[{,:" * 90_000, '"[{,:' * 60_000, '\\"[{,:' * 60_000, "\\" * 100_001 + ",:[{" * 60_000]
)
def test_punctuation_in_a_text_is_no_structure(text: str) -> None:
    assert parse_json(json.dumps({"text": text}).encode()) == {"text": text}


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 300, b"1" * 5_000, b"\xff", b"nul"])
def test_a_text_that_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(BadInput, match="Invalid JSON"):
        parse_json(text)


def test_a_request_within_the_limits_is_parsed() -> None:
    value = {"input": list(range(300_000)), "tools": [{"type": "function"}] * 1_000}
    assert parse_json(json.dumps(value).encode()) == value
