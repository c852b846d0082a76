"""Three savings stand apart, in whole nano-dollars, priced by the catalogue."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from cluster.lab.results import record
from cluster.lab.results.savings import FrameCounts, StrongFrame, mean_tokens, price_note, strong_frame, tenant_row
from deployments.common.settings import VisionSettings
from routing.catalogue import load_catalogue
from routing.chat import Message
from routing.errors import UnknownModel
from routing.estimates import text_tokens
from routing.models import Usage

DAY = dt.date(2026, 11, 25)
VISION = VisionSettings(simple=("gpt-6-luna",), complex=("claude-sonnet-5-5",))
PROMPT_TOKENS = text_tokens([Message(role="user", content=(VISION.prompt,))])
FRAMES = FrameCounts(seen=1_000, kept=150, answered=148)


def strong(
    answer_tokens: float | None = 40.0, long_side_px: int = 1_024, model: str = "claude-sonnet-5-5"
) -> StrongFrame:
    vision = VISION.model_copy(update={"complex": (model,)})
    return strong_frame(load_catalogue(), vision, DAY, long_side_px=long_side_px, answer_tokens=answer_tokens)


def test_a_frame_has_the_tokens_that_the_vendors_rule_gives_its_pixels() -> None:
    # 1280 x 720 and 1024 x 576 pixels in squares of 28.
    assert strong().full_tokens == PROMPT_TOKENS + 46 * 26
    assert strong().small_tokens == PROMPT_TOKENS + 37 * 21


def test_a_model_that_charges_every_picture_alike_gains_nothing_from_a_smaller_one() -> None:
    flat = strong(model="gemini-3.8-flash")
    assert flat.full_tokens == flat.small_tokens == PROMPT_TOKENS + 1_120


def test_a_screen_that_is_small_already_is_not_enlarged() -> None:
    wide = strong(long_side_px=2_048)
    assert wide.small_tokens == wide.full_tokens


def test_each_saving_is_a_step_down_from_every_frame_to_what_was_spent() -> None:
    row = tenant_row("acme", 0.25, FRAMES, 12_345, strong())
    once = strong().price.cost_nanousd(Usage(input_tokens=PROMPT_TOKENS + 46 * 26, output_tokens=40))
    assert row["every_frame_nanousd"] == 1_000 * once
    assert row["changed_only_nanousd"] == 150 * once
    assert row["changed_small_nanousd"] < row["changed_only_nanousd"]
    assert row["cost_nanousd"] == 12_345
    assert record.table(record.TENANTS, [row]).to_pylist() == [row]


def test_a_fraction_of_a_token_is_rounded_once_for_all_frames() -> None:
    half = strong(answer_tokens=0.5)
    output_pico = half.price.pico("output_pico", half.model)
    whole = half.cost_nanousd(1_000, 0)
    assert whole == 500 * output_pico // 1_000


def test_no_answer_seen_is_unknown_and_not_free() -> None:
    row = tenant_row("acme", 0.25, FRAMES, None, strong(answer_tokens=mean_tokens(0, 0)))
    assert {row[name] for name in row if name.endswith("_nanousd")} == {None}
    assert "not known" in price_note(strong(answer_tokens=None))


def test_a_tenant_that_showed_nothing_would_have_cost_nothing() -> None:
    row = tenant_row("acme", 0.0, FrameCounts(seen=0, kept=0, answered=0), 0, strong(answer_tokens=None))
    assert row["every_frame_nanousd"] == row["changed_small_nanousd"] == 0


def test_a_long_prompt_is_charged_at_the_long_rates() -> None:
    one = replace(strong(model="claude-haiku-5-5"), answer_tokens=0.0)
    assert one.cost_nanousd(1, 100_001) == one.price.cost_nanousd(Usage(input_tokens=100_001))


def test_the_note_says_price_tokens_and_where_the_length_comes_from() -> None:
    note = price_note(strong(answer_tokens=mean_tokens(1_234, 30)))
    assert "claude-sonnet-5-5@2026-09-01" in note and "41.1 output tokens" in note and "of this run" in note


def test_a_strong_model_that_is_not_in_the_catalogue_is_an_error() -> None:
    with pytest.raises(UnknownModel, match="nobody"):
        strong(model="nobody")
