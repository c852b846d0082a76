"""The picture that goes with a question is the one it is about."""

from __future__ import annotations

import pytest

from room_agent.pictures import MAX_TRACKS, Picture, Pictures
from room_agent.selection import Source


def picture(track: str, shared_by: str, at_s: float, source: Source = "screen_share") -> Picture:
    label = f"{source} of {shared_by}"
    return Picture(track=track, label=label, source=source, shared_by=shared_by, jpeg=b"", captured_at_s=at_s)


@pytest.fixture
def pictures() -> Pictures:
    pictures = Pictures()
    pictures.kept(picture("TR_1", "Bob Baker", 1.0))
    pictures.kept(picture("TR_2", "Ann", 2.0))
    pictures.kept(picture("TR_3", "Ann", 3.0, "camera"))
    return pictures


@pytest.mark.parametrize(
    ("question", "track"),
    [
        ("What is on the slide?", "TR_2"),
        ("What is on BOB's slide?", "TR_1"),
        ("What does baker's chart show?", "TR_1"),
        ("What is Ann sharing?", "TR_2"),
        ("What is Ann wearing?", "TR_3"),
        ("Who is on camera?", "TR_3"),
    ],
)
def test_a_question_gets_the_picture_it_is_about(pictures: Pictures, question: str, track: str) -> None:
    chosen = pictures.of(question)
    assert chosen is not None and chosen.track == track


def test_a_share_that_ends_takes_its_own_picture_only(pictures: Pictures) -> None:
    pictures.end("TR_2")
    left = pictures.of("What is on the slide?")
    assert left is not None and left.track == "TR_1"
    for track in ("TR_1", "TR_3"):
        pictures.end(track)
    assert pictures.of("What is on the slide?") is None


def test_a_newer_picture_of_a_track_takes_the_place_of_the_one_before(pictures: Pictures) -> None:
    pictures.kept(picture("TR_1", "Bob Baker", 9.0))
    chosen = pictures.of("What is on the slide?")
    assert chosen is not None and (chosen.track, chosen.captured_at_s) == ("TR_1", 9.0)


def test_so_many_tracks_have_a_picture_and_no_more(pictures: Pictures) -> None:
    for number in range(MAX_TRACKS):
        pictures.kept(picture(f"TR_more_{number}", "Cat", 10.0 + number))
    gone = pictures.of("What is on Bob's slide?")
    assert gone is not None and gone.shared_by == "Cat"
