"""Check that a question comes with the frame it is about."""

from __future__ import annotations

import pytest

from room_agent.context.latest_frames import MAX_TRACKS, LatestFrame, LatestFrames
from room_agent.core.models import Source


def frame(track: str, shared_by: str, at_s: float, source: Source = "screen_share", identity: str = "") -> LatestFrame:
    label = f"{source} of {shared_by}"
    return LatestFrame(
        track=track,
        label=label,
        source=source,
        shared_by=shared_by,
        identity=identity or shared_by,
        jpeg=b"",
        captured_at_s=at_s,
    )


@pytest.fixture
def frames() -> LatestFrames:
    frames = LatestFrames()
    frames.kept(frame("TR_1", "Bob Baker", 1.0))
    frames.kept(frame("TR_2", "Ann", 2.0))
    frames.kept(frame("TR_3", "Ann", 3.0, "camera"))
    return frames


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
def test_a_question_gets_the_frame_it_is_about(frames: LatestFrames, question: str, track: str) -> None:
    selected = frames.of(question, "dana")
    assert selected is not None and selected.track == track


@pytest.mark.parametrize(
    ("question", "track"),
    [
        ("What is the error on my screen?", "TR_1"),
        ("Can you see my slide?", "TR_1"),
        ("What number is on the slide I am sharing?", "TR_1"),
        ("What am I pointing at?", "TR_1"),
        ("What does Ann's slide say of my team?", "TR_2"),
        ("What is on the slide?", "TR_2"),
    ],
)
def test_my_screen_is_the_askers_own(frames: LatestFrames, question: str, track: str) -> None:
    selected = frames.of(question, "Bob Baker")
    assert selected is not None and selected.track == track


def test_my_slide_is_not_the_camera_of_the_asker(frames: LatestFrames) -> None:
    frames.kept(frame("TR_face", "Cat", 9.0, "camera"))
    slide, camera = frames.of("What does my slide say?", "Cat"), frames.of("Is my camera on?", "Cat")
    assert slide is not None and slide.track == "TR_2"
    assert camera is not None and camera.track == "TR_face"


def test_participants_of_the_same_name_are_distinguished_by_identity() -> None:
    frames = LatestFrames()
    frames.kept(frame("TR_1", "Ann", 1.0, identity="ann-1"))
    frames.kept(frame("TR_2", "Ann", 2.0, identity="ann-2"))
    selected = frames.of("What is the error on my screen?", "ann-1")
    assert selected is not None and selected.track == "TR_1"


def test_an_ended_share_removes_only_its_own_frame(frames: LatestFrames) -> None:
    frames.end("TR_2")
    remaining = frames.of("What is on the slide?", "dana")
    assert remaining is not None and remaining.track == "TR_1"
    for track in ("TR_1", "TR_3"):
        frames.end(track)
    assert frames.of("What is on the slide?", "dana") is None


def test_a_newer_frame_of_a_track_replaces_the_earlier_one(frames: LatestFrames) -> None:
    frames.kept(frame("TR_1", "Bob Baker", 9.0))
    selected = frames.of("What is on the slide?", "dana")
    assert selected is not None and (selected.track, selected.captured_at_s) == ("TR_1", 9.0)


def test_the_number_of_tracks_with_a_frame_is_bounded(frames: LatestFrames) -> None:
    for number in range(MAX_TRACKS):
        frames.kept(frame(f"TR_more_{number}", "Cat", 10.0 + number))
    selected = frames.of("What is on Bob's slide?", "dana")
    assert selected is not None and selected.shared_by == "Cat"
