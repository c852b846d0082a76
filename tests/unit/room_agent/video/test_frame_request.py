"""An edit is sent with the last description, so that its answer names only the difference."""

from __future__ import annotations

from dataclasses import replace

import pytest

from room_agent.core.models import FramePart, KeptFrame
from room_agent.video.frame_request import (
    MAX_CHANGES,
    MAX_PARTS,
    MAX_PREVIOUS_CHARS,
    ScreenDescription,
    frame_body,
    superseding,
)

SCENE = KeptFrame(jpeg=b"whole", headers={}, why="scene changed", captured_at_s=1.0)


def part(top: int) -> FramePart:
    return FramePart(jpeg=b"part", box_px=(0, top, 100, top + 20))


def edit(*parts: FramePart) -> KeptFrame:
    return replace(SCENE, why="text changed", overview=b"small", parts=parts, screen_px=(1920, 1080))


def test_a_new_scene_is_described_in_full_and_an_edit_as_a_change_to_it() -> None:
    screen = ScreenDescription()
    assert screen.previous(edit()) == ""
    assert screen.add(screen.previous(SCENE), "A sheet.") == "A sheet."
    assert screen.previous(edit()) == "A sheet." and screen.previous(SCENE) == ""
    assert screen.add("A sheet.", "Row 7 now says 718.") == "A sheet. Row 7 now says 718."
    assert screen.add("", "A slide.") == "A slide."


def test_after_some_changes_or_a_long_description_a_screen_is_described_in_full_again() -> None:
    screen = ScreenDescription()
    screen.add("", "A sheet.")
    for _ in range(MAX_CHANGES):
        screen.add(screen.previous(edit()), "More.")
    assert screen.previous(edit()) == ""
    screen.add("", "x" * (MAX_PREVIOUS_CHARS + 1))
    assert screen.previous(edit()) == ""


def test_a_body_holds_the_parts_with_their_boxes_and_the_description_before() -> None:
    assert frame_body(SCENE) is None
    body = frame_body(edit(part(40)), "A sheet.")
    assert body is not None and body["previous"] == "A sheet." and body["screen"] == (1920, 1080)
    assert [crop["box"] for crop in body["crops"]] == [(0, 40, 100, 60)]
    whole = frame_body(replace(SCENE, why="text changed"), "A sheet.")
    assert whole is not None and set(whole) == {"image", "previous"}


def test_a_frame_in_place_of_an_unsent_edit_shows_the_parts_of_both() -> None:
    assert superseding(edit(part(0)), edit(part(100))).parts == (part(0), part(100))


@pytest.mark.parametrize("unsent", [SCENE, edit(part(10)), edit(*map(part, range(100, 100 + 50 * MAX_PARTS, 50)))])
def test_a_frame_in_place_of_an_unsent_scene_or_of_an_overlapping_edit_is_sent_whole(unsent: KeptFrame) -> None:
    sent = superseding(edit(part(0)), unsent)
    assert sent.parts == () and sent.overview is None and sent.why == unsent.why
    assert superseding(SCENE, unsent) is SCENE
