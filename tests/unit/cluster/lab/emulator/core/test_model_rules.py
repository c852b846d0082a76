"""The emulator's rules are its own, and agree with the product's table or say why not."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import cluster.lab.emulator
from cluster.lab.emulator.core.content import ImageHeader, RequestContent
from cluster.lab.emulator.core.model_rules import ImageRule, image_tokens, load_model_rules, rules_of
from routing.catalogue import load_catalogue

RULES = load_model_rules()
PRODUCT = {row.vendor_name: row for row in load_catalogue().models.values()}
BOTH = sorted(set(RULES) & set(PRODUCT))
EXPLAINED: dict[tuple[str, str], str] = {
    ("claude-sonnet-5-5", "efforts"): "the product's level none is Anthropic's thinking between_tools",
}
"""The differences between both tables, by model and rule, with their reason."""


def test_the_emulator_reads_neither_the_products_table_nor_its_capabilities() -> None:
    for file in Path(cluster.lab.emulator.__file__).parent.rglob("*.py"):
        text = file.read_text("utf-8")
        imported = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
        assert not imported & {"routing.catalogue", "routing.capabilities"} and "models.toml" not in text, file


def test_every_chat_and_embedding_model_of_the_product_has_rules_of_its_own() -> None:
    sold = {
        name
        for name, row in PRODUCT.items()
        if set(row.services) & {"llm", "vision", "embeddings"} and name != "claude-3-5-sonnet"
    }
    assert sold - set(RULES) == set()


@pytest.mark.parametrize("rule", ["efforts", "default effort", "context_tokens", "max_output_tokens", "dimensions"])
@pytest.mark.parametrize("name", BOTH)
def test_both_tables_agree_or_the_difference_is_explained(name: str, rule: str) -> None:
    ours, theirs = RULES[name], PRODUCT[name]
    thinking, sold = ours.thinking, theirs.capabilities.thinking
    pairs = {
        "context_tokens": (ours.context_tokens, theirs.context_tokens),
        "max_output_tokens": (ours.max_output_tokens, theirs.max_output_tokens),
        "dimensions": (ours.dimensions, theirs.dimensions),
    }
    if thinking is not None and sold is not None:
        pairs["efforts"] = (thinking.efforts, sold.efforts)  # type: ignore[assignment]
        pairs["default effort"] = (thinking.default, sold.default)  # type: ignore[assignment]
    emulated, product = pairs.get(rule, (None, None))
    assert (emulated is None or emulated == product) is ((name, rule) not in EXPLAINED)


@pytest.mark.parametrize("name", BOTH)
def test_both_tables_say_which_models_take_no_tools_in_chat_completions(name: str) -> None:
    assert ("no_chat_tools" in RULES[name].flags) is (PRODUCT[name].capabilities.chat_tools == "never")


def test_the_room_that_the_product_allows_for_thinking_is_not_below_what_is_spent() -> None:
    for name in BOTH:
        thinking, sold = RULES[name].thinking, PRODUCT[name].capabilities.thinking
        for effort in sold.efforts if thinking is not None and sold is not None else ():
            assert thinking is None or sold is None or sold.tokens[effort] >= thinking.tokens.get(effort, 0)


def test_thinking_has_tokens_for_every_effort_and_none_for_none() -> None:
    for row in RULES.values():
        if row.thinking is not None:
            assert set(row.thinking.tokens) == set(row.thinking.efforts) >= {row.thinking.default}
            assert row.thinking.tokens.get("none", 0) == 0
    assert rules_of("gpt-6.1-sol").thinking_tokens(None) == rules_of("gpt-6.1-sol").thinking_tokens("medium") > 0
    assert rules_of("a model of nobody").thinking_tokens("high") == 0


def test_an_image_counts_by_the_models_rule_or_by_its_vendors_last_one() -> None:
    image = ImageHeader(width_px=632, height_px=100, format="image/jpeg")
    content = RequestContent(images=(image, image))
    assert image_tokens("openai", "gpt-6-luna", content) == image_tokens("openai", "unknown", content) == 2 * 96
    assert image_tokens("openai", "gpt-4o", content) == 2 * 765 and image_tokens("nobody", "x", content) == 0
    assert ImageRule(patch_px=28, source="a test").count(image) == 23 * 4
