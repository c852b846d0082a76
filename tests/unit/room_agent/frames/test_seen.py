"""A picture that returns is recognized, and one with a single edited word is not."""

from __future__ import annotations

import pytest

from room_agent.frames import seen
from room_agent.frames.detector import ChangeDetector
from room_agent.frames.i420 import Planes
from room_agent.frames.phash import phash
from room_agent.frames.seen import SeenPictures
from tests.support.screens import Desktop, prose, slide, through_jpeg


def add(pictures: SeenPictures, key: int, planes: Planes) -> None:
    pictures.add(key, ChangeDetector().picture(planes).copied(), phash(planes))


def found(pictures: SeenPictures, planes: Planes, *, has_caret: bool = False) -> int | None:
    """Return the key of the picture that shows the same for certain."""
    match = pictures.find(ChangeDetector().picture(planes), phash(planes), lambda _: has_caret)
    return match.key if match is not None and match.certain else None


def test_a_slide_that_is_flipped_back_is_found() -> None:
    pictures = SeenPictures()
    slides = [slide(f"Page {number}", prose(3, seed=number)) for number in range(4)]
    for key, picture in enumerate(slides):
        add(pictures, key, picture)
    assert [found(pictures, picture) for picture in slides] == [0, 1, 2, 3]
    assert found(pictures, through_jpeg(slides[2], 75)) == 2
    assert found(pictures, slide("Page 9", prose(3, seed=9))) is None


@pytest.mark.parametrize("row", range(18))
def test_a_picture_with_one_edited_word_is_another(row: int) -> None:
    pictures, desktop = SeenPictures(), Desktop()
    add(pictures, 1, desktop.planes())
    words = desktop.lines[row].split()
    words[3] = words[3][::-1] + "x"
    edited = desktop.with_changes(lines=(*desktop.lines[:row], " ".join(words), *desktop.lines[row + 1 :]))
    assert found(pictures, edited.planes()) is None
    assert found(pictures, desktop.with_changes(pointer=(300, 500)).planes()) == 1


def test_a_letter_like_a_caret_makes_another_picture_unless_a_caret_blinks_there() -> None:
    pictures, desktop = SeenPictures(), Desktop()
    add(pictures, 1, desktop.planes())
    with_caret = desktop.with_changes(caret=(760, 158)).planes()
    assert found(pictures, with_caret) is None and found(pictures, with_caret, has_caret=True) == 1
    doubtful = pictures.find(ChangeDetector().picture(with_caret), phash(with_caret), lambda _: False)
    assert doubtful is not None and not doubtful.certain


def test_the_memory_is_bounded_by_pictures_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = SeenPictures()
    for key in range(40):
        add(pictures, key, slide(f"Page {key}", ()))
    assert len(pictures) == seen.MAX_PICTURES
    monkeypatch.setattr(seen, "MAX_BYTES", 3_000_000)
    add(pictures, 41, slide("Page 41", ()))
    assert len(pictures) == 1


def test_a_picture_in_whose_noise_a_word_may_be_lost_is_not_taken_for_one_of_before() -> None:
    pictures, desktop = SeenPictures(), Desktop()
    add(pictures, 1, desktop.planes())
    noisy = through_jpeg(desktop.planes(), 20)
    match = pictures.find(ChangeDetector().picture(noisy), phash(noisy), lambda _: False)
    assert match is not None and not match.certain
