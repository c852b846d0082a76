"""Check which pictures join a turn, in which order, how large, and which are left out where tokens are short."""

from __future__ import annotations

from dataclasses import replace

import pytest

from room_agent.context.pictures import (
    ALONE_PX,
    CAMERA_PX,
    MAX_PICTURES,
    MAX_TRACKS,
    OF_SEVERAL_PX,
    OTHER_CAMERA_PX,
    TrackPicture,
    TrackPictures,
    longest_sides_px,
    of_turn,
    within,
)
from room_agent.core.models import Source


def picture(track: str, at_s: float, identity: str = "bob-1", source: Source = "screen_share") -> TrackPicture:
    return TrackPicture(
        track=track,
        label=f'{track} of "Bob"',
        source=source,
        identity=identity,
        jpeg=track.encode(),
        size_px=(1_024, 576),
        changed_at_s=at_s,
    )


def tracks(pictures: list[TrackPicture]) -> list[str]:
    return [picture.track for picture in pictures]


OLD, NEW, NEWEST = picture("old", 1.0), picture("new", 2.0), picture("newest", 3.0)


def test_the_askers_own_share_comes_first_and_then_the_one_that_changed_last() -> None:
    own = picture("own", 0.0, "ann-1")
    assert tracks(of_turn([OLD, own, NEWEST], "ann-1")) == ["own", "newest", "old"]
    assert tracks(of_turn([OLD, own, NEWEST], "dana-1")) == ["newest", "old", "own"]


def test_of_four_shares_the_one_unchanged_for_longest_is_left_out_unless_it_is_the_askers() -> None:
    own = picture("own", 0.0, "ann-1")
    assert tracks(of_turn([own, OLD, NEW, NEWEST], "dana-1")) == ["newest", "new", "old"]
    assert tracks(of_turn([own, OLD, NEW, NEWEST], "ann-1")) == ["own", "newest", "new"]
    assert MAX_PICTURES == 3


def test_cameras_join_a_turn_only_where_nobody_shares() -> None:
    camera = picture("camera", 9.0, "ann-1", "camera")
    assert tracks(of_turn([camera, OLD], "ann-1")) == ["old"]
    assert tracks(of_turn([camera], "dana-1")) == ["camera"]
    assert of_turn([], "ann-1") == []


def test_a_share_alone_may_be_larger_than_one_of_several() -> None:
    assert longest_sides_px([OLD]) == [ALONE_PX]
    assert longest_sides_px([OLD, NEW, NEWEST]) == [OF_SEVERAL_PX] * 3
    cameras = [picture(str(number), 1.0, source="camera") for number in range(3)]
    assert longest_sides_px(cameras) == [CAMERA_PX, OTHER_CAMERA_PX, OTHER_CAMERA_PX]
    assert longest_sides_px([]) == []


@pytest.mark.parametrize(
    ("size_px", "tokens"),
    [
        ((ALONE_PX, 864), 55 * 31),
        (None, 55 * 31),
        ((OF_SEVERAL_PX, 720), 42 * 26),
        ((CAMERA_PX, 576), 37 * 21),
        ((OTHER_CAMERA_PX, 278), 18 * 10),
    ],
)
def test_a_picture_counts_a_token_for_each_patch_of_28_px(size_px: tuple[int, int] | None, tokens: int) -> None:
    assert replace(OLD, size_px=size_px).tokens == tokens


def test_where_tokens_are_short_the_pictures_at_the_end_are_left_out() -> None:
    large = replace(NEWEST, size_px=(ALONE_PX, 864))
    assert tracks(within([NEWEST, NEW, OLD], 3 * NEW.tokens)) == ["newest", "new", "old"]
    assert tracks(within([NEWEST, NEW, OLD], 3 * NEW.tokens - 1)) == ["newest", "new"]
    # One that is too large does not keep out the next.
    assert tracks(within([large, NEW, OLD], 1_000)) == ["new"]
    assert within([NEWEST], NEWEST.tokens - 1) == []


def test_an_ended_track_loses_its_picture_and_a_newer_frame_replaces_the_earlier_one() -> None:
    pictures = TrackPictures()
    for one in (OLD, NEW, replace(OLD, changed_at_s=9.0, jpeg=b"again")):
        pictures.kept(one)
    assert [one.jpeg for one in pictures.of_turn("ann-1")] == [b"again", b"new"]
    pictures.end("old")
    assert tracks(pictures.of_turn("ann-1")) == ["new"]


def test_the_number_of_tracks_with_a_picture_is_bounded() -> None:
    pictures = TrackPictures()
    pictures.kept(picture("own", 99.0, "ann-1"))
    for number in range(MAX_TRACKS):
        pictures.kept(picture(f"TR_{number}", float(number)))
    assert "own" not in tracks(pictures.of_turn("ann-1"))
