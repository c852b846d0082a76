"""A tool's result is one bounded text."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from deployments.tools.result_text import CUT, text_of_block, tool_result
from routing.tools.models import MAX_RESULT_CHARS


def block(kind: str, **fields: Any) -> Any:
    return SimpleNamespace(type=kind, **fields)


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (block("text", text="forty two"), "forty two"),
        (block("resource", resource=SimpleNamespace(text="a file's text")), "a file's text"),
        (block("resource", resource=SimpleNamespace(blob="AAAA")), "[a file, left out]"),
        (block("resource_link", name="plan.pdf", uri="https://evil.example"), "[a file: plan.pdf]"),
        (block("image", data="AAAA"), "[image, left out]"),
        (block("audio", data="AAAA"), "[audio, left out]"),
    ],
)
def test_each_kind_of_content_has_a_text(one: Any, text: str) -> None:
    assert text_of_block(one) == text


def test_texts_are_joined_and_a_structure_stands_in_for_none() -> None:
    assert tool_result(["a", " ", "b"], {"c": 1}).text == "a\nb"
    assert tool_result([], {"name": "Müller"}).text == '{"name": "Müller"}'
    assert tool_result([""], None, is_error=True).is_error and tool_result([]).text == ""


def test_a_long_result_is_cut_and_lone_surrogates_are_replaced() -> None:
    result = tool_result(["x" * 100_000])
    assert len(result.text) == MAX_RESULT_CHARS and result.text.endswith(CUT)
    assert tool_result(["\ud800"]).text == "?"
