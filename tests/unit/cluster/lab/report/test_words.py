"""A figure has its unit and only significant digits; an unknown one is shown as a phrase."""

from __future__ import annotations

import pytest

from cluster.lab.report import words
from cluster.lab.report.palette import COLOURS, INK, LINES, PANEL, PAPER, QUIET, contrast


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (words.count(12_345), "12,345"),
        (words.milliseconds(2_310.4), "2,310 ms"),
        (words.milliseconds(9.2), "9.20 ms"),
        (words.milliseconds(0), "0 ms"),
        (words.share(0.0223), "2.2 %"),
        (words.share(1), "100 %"),
        (words.seconds(41), "41.0 s"),
        (words.seconds(725), "12 min 05 s"),
        (words.seconds(7_260), "2 h 01 min"),
        (words.moment(68.5), "0:01:08.5"),
        (words.moment(59.96), "0:01:00.0"),
        (words.dollars(1_234_567_890), "$1.235"),
        (words.dollars(412_345), "$0.0004123"),
        (words.dollars(1_250_000_000_000), "$1,250.00"),
        (words.dollars(0), "$0.00"),
        (words.times(33_600, 4_800), "÷ 7.00"),
        (words.difference(200, 150), "-25.0 %"),
        (words.difference(200, 200), "equal"),
        (words.difference(0, 3), "from nothing"),
        (words.target("p95_ms", 3_000), "3,000 ms"),
        (words.target("shed_share", 0.01), "1.0 %"),
        (words.target("usd_per_room_hour", 0.25), "$0.2500"),
        (words.target("rooms", 7), "7.00"),
    ],
)
def test_a_figure_has_its_unit_and_significant_digits(text: str, expected: str) -> None:
    assert text == expected


@pytest.mark.parametrize(
    "text",
    [
        *(say(None) for say in (words.count, words.number, words.milliseconds, words.share, words.seconds)),
        *(say(None) for say in (words.moment, words.dollars)),
        words.times(None, 5),
        words.times(5, 0),
        words.difference(5, None),
        words.target("shed_share", None),
        words.target("usd_per_room_hour", None),
    ],
)
def test_an_unknown_value_is_not_shown_as_zero(text: str) -> None:
    assert text == "not known"


def test_every_text_colour_has_contrast_in_light_and_dark_mode() -> None:
    for mode in ("light", "dark"):
        for ink in (INK, QUIET, *LINES):
            assert contrast(getattr(ink, mode), getattr(PAPER, mode)) >= 4.5, (ink.name, mode)
        assert contrast(getattr(INK, mode), getattr(PANEL, mode)) >= 4.5


def test_every_light_colour_is_unique() -> None:
    assert len({colour.light for colour in COLOURS}) == len(COLOURS)


def test_black_on_white_has_the_highest_contrast() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
