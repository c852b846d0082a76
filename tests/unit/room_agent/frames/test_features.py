"""The features measure text and change: pages have more text than slides, photos have none."""

from dataclasses import astuple

import pytest

from room_agent.frames.detector import ChangeDetector
from room_agent.frames.features import features
from room_agent.frames.verdict import Judgement, Verdict
from tests.support.screens import Desktop, photo, prose, slide

FIRST = Judgement(verdict=Verdict.NEW, why="first frame", changed_share=1.0, cells=1, box_px=None)


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)])
def test_text_density_is_highest_on_a_page_and_zero_in_a_photo(size: tuple[int, int]) -> None:
    pictures = Desktop(size=size, lines=prose(44, words=28)).planes(), slide("Goals", prose(3), size), photo(size)
    densities = [features(planes, FIRST).text_density for planes in pictures]
    assert densities[0] > 0.2 > densities[1] > densities[2] == 0.0


def test_dark_and_light_pages_have_similar_text_density() -> None:
    dark, light = (features(Desktop(dark=dark).planes(), FIRST).text_density for dark in (True, False))
    assert dark == pytest.approx(light, rel=0.25)


def test_edge_energy_is_high_on_a_page_and_low_in_a_photo() -> None:
    page, smooth = (features(planes, FIRST).edge_energy for planes in (Desktop().planes(), photo()))
    assert page > 3 * smooth > 0


def test_novelty_is_the_share_of_the_area_around_a_change() -> None:
    before = Desktop()
    detector = ChangeDetector()
    first = features(before.planes(), detector.judge(before.planes()))
    detector.keep(before.planes())
    typed = before.with_changes(lines=(*before.lines, "a line typed now")).planes()
    line = features(typed, detector.judge(typed))
    assert (first.novelty, first.changed_share) == (1.0, 1.0)
    assert 0.001 < line.novelty < 0.01 and 0 < line.changed_share < line.novelty


def test_a_repeated_frame_has_no_novelty() -> None:
    detector = ChangeDetector()
    detector.keep(photo())
    result = features(photo(), detector.judge(photo()))
    assert (result.novelty, result.changed_share) == (0.0, 0.0)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (3, 100), (65, 33), (641, 361)])
def test_every_feature_is_between_zero_and_one_at_every_size(size: tuple[int, int]) -> None:
    result = features(photo(size), ChangeDetector().judge(photo(size)))
    assert all(0.0 <= value <= 1.0 for value in astuple(result))
