"""Screen shares are sampled before cameras, up to the limit."""

from __future__ import annotations

from room_agent.core.models import Source
from room_agent.video.selection import TrackCandidate, select


def candidate(sid: str, source: Source = "screen_share", muted: bool = False) -> TrackCandidate:
    return TrackCandidate(track_sid=sid, source=source, muted=muted)


def test_a_screen_share_is_sampled_before_any_camera() -> None:
    selected = select([candidate("c1", "camera"), candidate("s1"), candidate("c2", "camera")], max_tracks=4)
    assert selected == {"s1": "screen_share"}


def test_a_camera_is_sampled_if_nobody_shares_a_screen() -> None:
    assert select([candidate("c1", "camera")], max_tracks=4) == {"c1": "camera"}
    muted_share = candidate("s1", muted=True)
    assert select([muted_share, candidate("c1", "camera")], max_tracks=4) == {"c1": "camera"}


def test_a_muted_track_is_not_sampled() -> None:
    assert select([candidate("c1", "camera", muted=True)], max_tracks=4) == {}


def test_the_first_tracks_are_sampled_if_there_are_more_than_allowed() -> None:
    assert list(select([candidate(f"s{n}") for n in range(9)], max_tracks=2)) == ["s0", "s1"]
