"""A changed part is sent at full size where that reads better or costs less; the tokens stay within their budget."""

from __future__ import annotations

import pytest

from room_agent.frames.views import (
    LEAST_LONG_SIDE_PX,
    MAX_CROPS,
    OVERVIEW_PX,
    READABLE_PX,
    ChangedScreen,
    TokenBudget,
    choose_views,
    merged,
)
from routing.capabilities import FixedTokens, PatchTokens, TileTokens

PATCHES = PatchTokens(rule="patches", patch_px=32)
TILES = TileTokens(rule="tiles", base=85, tile=170)
FLAT = FixedTokens(tokens=1_120)
LINE = (300, 400, 900, 420)
TODAY = PATCHES.count(1_024, 576)


def screen(*boxes: tuple[int, int, int, int], text_px: float | None = 12.0, wide: int = 1_920) -> ChangedScreen:
    return ChangedScreen(width_px=wide, height_px=wide * 9 // 16, boxes_px=boxes, text_px=text_px)


@pytest.mark.parametrize("wide", [1_920, 2_560, 3_840])
def test_a_changed_line_of_small_text_is_sent_at_a_readable_size_beside_an_overview(wide: int) -> None:
    views = choose_views(screen(LINE, wide=wide), PATCHES, TODAY)
    (crop,) = views.crops
    left, top, right, bottom = crop.box_px
    assert left < LINE[0] and top < LINE[1] and right > LINE[2] and bottom > LINE[3]
    assert crop.long_side_px >= (right - left) * READABLE_PX / 12.0 - 1
    assert views.whole_px == OVERVIEW_PX and views.tokens <= TODAY


def test_large_text_needs_no_part() -> None:
    whole = (0, 0, 1_920, 1_080)
    views = choose_views(screen(whole, text_px=30.0), PATCHES, TODAY)
    assert views.crops == () and views.whole_px == LEAST_LONG_SIDE_PX


def test_a_new_scene_is_sent_as_large_as_its_text_needs_while_the_budget_allows() -> None:
    whole = (0, 0, 1_920, 1_080)
    views = choose_views(screen(whole, text_px=16.0), PATCHES, 10 * TODAY)
    assert views.crops == () and views.whole_px == round(1_920 * READABLE_PX / 16.0)
    poor = choose_views(screen(whole, text_px=16.0), PATCHES, TODAY)
    assert poor.crops == () and 1_024 <= poor.whole_px < 1_100 and poor.tokens <= TODAY


def test_without_any_budget_the_whole_screen_is_sent_at_the_least_size() -> None:
    assert choose_views(screen((0, 0, 3_840, 2_160), wide=3_840), PATCHES, 0).whole_px == LEAST_LONG_SIDE_PX


def test_where_each_picture_costs_the_same_one_large_picture_is_sent() -> None:
    views = choose_views(screen(LINE), FLAT, 1_120)
    assert views.crops == () and views.whole_px == round(1_920 * READABLE_PX / 12.0) and views.tokens == 1_120


def test_a_part_is_sent_alone_where_an_overview_would_cost_as_much_again() -> None:
    views = choose_views(screen(LINE, wide=5_120), FLAT, 1_120)
    assert views.whole_px == 0 and len(views.crops) == 1 and views.tokens == 1_120


def test_a_small_part_and_its_overview_are_counted_in_low_detail() -> None:
    views = choose_views(screen(LINE, wide=5_120), FixedTokens(tokens=1_120, low=280), 1_120)
    assert views.whole_px == OVERVIEW_PX and len(views.crops) == 1 and views.tokens == 2 * 280


def test_a_word_that_is_too_small_to_measure_is_not_sent_in_a_reduced_picture() -> None:
    views = choose_views(screen((352, 400, 576, 408), text_px=None, wide=5_120), FLAT, 1_120)
    assert views.whole_px == 0 and len(views.crops) == 1


def test_tiles_are_counted_by_their_own_rule() -> None:
    views = choose_views(screen(LINE), TILES, TILES.count(1_024, 576))
    assert len(views.crops) == 1 and views.tokens == TILES.count(512, 288, "low") + TILES.count(638, 62)


def test_a_small_change_without_text_is_sent_at_full_size() -> None:
    views = choose_views(screen((500, 500, 514, 514), text_px=None), PATCHES, TODAY)
    (crop,) = views.crops
    assert crop.long_side_px == crop.box_px[2] - crop.box_px[0]


def test_a_part_at_the_edge_stays_inside_the_screen_on_even_pixels() -> None:
    (crop,) = choose_views(screen((0, 0, 11, 11)), PATCHES, TODAY).crops
    assert crop.box_px == (0, 0, 58, 34)
    views = choose_views(screen((1_900, 1_060, 1_920, 1_080)), PATCHES, TODAY)
    assert views.crops[0].box_px[2:] == (1_920, 1_080)


def test_many_scattered_changes_are_sent_as_the_whole_screen() -> None:
    boxes = tuple((300 * row, 180 * row, 300 * row + 60, 180 * row + 20) for row in range(1, MAX_CROPS + 2))
    assert choose_views(screen(*boxes), PATCHES, 10 * TODAY).crops == ()


def test_neighbouring_boxes_are_joined_and_distant_ones_are_not() -> None:
    assert merged([(0, 0, 100, 20), (90, 0, 200, 20)]) == [(0, 0, 200, 20)]
    assert merged([(0, 0, 100, 20), (0, 500, 100, 520)]) == [(0, 0, 100, 20), (0, 500, 100, 520)]
    assert merged([(0, 0, 10, 10), (8, 0, 20, 10), (18, 0, 30, 10)]) == [(0, 0, 30, 10)]


def test_tokens_not_spent_are_saved_for_a_later_frame_up_to_a_limit() -> None:
    budget = TokenBudget()
    first = budget.allowance(100)
    budget.spend(40, 100)
    assert budget.allowance(100) == first + 60
    for _ in range(100):
        budget.spend(0, 100)
    most = budget.allowance(100)
    budget.spend(most, 100)
    assert most == 700 and budget.allowance(100) == 100
