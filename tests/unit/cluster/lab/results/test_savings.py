"""The three savings are computed separately, in integer nano-dollars, with the catalogue's prices."""

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


def new_strong_frame(
    answer_tokens: float | None = 40.0, long_side_px: int = 1_024, model: str = "claude-sonnet-5-5"
) -> StrongFrame:
    vision = VISION.model_copy(update={"complex": (model,)})
    return strong_frame(load_catalogue(), vision, DAY, long_side_px=long_side_px, answer_tokens=answer_tokens)


def test_a_frame_has_the_tokens_of_the_vendors_rule() -> None:
    # 1280 x 720 and 1024 x 576 pixels, in squares of 28.
    assert new_strong_frame().full_tokens == PROMPT_TOKENS + 46 * 26
    assert new_strong_frame().small_tokens == PROMPT_TOKENS + 37 * 21


def test_a_flat_image_price_makes_downscaling_worthless() -> None:
    frame = new_strong_frame(model="gemini-3.8-flash")
    assert frame.full_tokens == frame.small_tokens == PROMPT_TOKENS + 1_120


def test_a_small_screen_is_not_upscaled() -> None:
    frame = new_strong_frame(long_side_px=2_048)
    assert frame.small_tokens == frame.full_tokens


def test_each_saving_reduces_the_cost_of_the_previous_step() -> None:
    row = tenant_row("acme", 0.25, FRAMES, 12_345, new_strong_frame())
    frame_nanousd = new_strong_frame().price.cost_nanousd(Usage(input_tokens=PROMPT_TOKENS + 46 * 26, output_tokens=40))
    assert row["every_frame_nanousd"] == 1_000 * frame_nanousd
    assert row["changed_only_nanousd"] == 150 * frame_nanousd
    assert row["changed_small_nanousd"] < row["changed_only_nanousd"]
    assert row["cost_nanousd"] == 12_345
    assert record.table(record.TENANTS, [row]).to_pylist() == [row]


def test_a_fraction_of_a_token_is_rounded_once_for_all_frames() -> None:
    frame = new_strong_frame(answer_tokens=0.5)
    output_pico = frame.price.pico("output_pico", frame.model)
    cost_nanousd = frame.cost_nanousd(1_000, 0)
    assert cost_nanousd == 500 * output_pico // 1_000


def test_without_answers_the_costs_are_unknown() -> None:
    row = tenant_row("acme", 0.25, FRAMES, None, new_strong_frame(answer_tokens=mean_tokens(0, 0)))
    assert {row[name] for name in row if name.endswith("_nanousd")} == {None}
    assert "not known" in price_note(new_strong_frame(answer_tokens=None))


def test_a_tenant_without_frames_costs_nothing() -> None:
    row = tenant_row("acme", 0.0, FrameCounts(seen=0, kept=0, answered=0), 0, new_strong_frame(answer_tokens=None))
    assert row["every_frame_nanousd"] == row["changed_small_nanousd"] == 0


def test_a_long_prompt_is_charged_at_the_long_rates() -> None:
    frame = replace(new_strong_frame(model="claude-haiku-5-5"), answer_tokens=0.0)
    assert frame.cost_nanousd(1, 100_001) == frame.price.cost_nanousd(Usage(input_tokens=100_001))


def test_the_note_names_price_tokens_and_source_of_the_length() -> None:
    note = price_note(new_strong_frame(answer_tokens=mean_tokens(1_234, 30)))
    assert "claude-sonnet-5-5@2026-09-01" in note and "41.1 output tokens" in note and "of this run" in note


def test_an_unknown_strong_model_is_an_error() -> None:
    with pytest.raises(UnknownModel, match="nobody"):
        new_strong_frame(model="nobody")
