"""Which tracks are watched, which jobs are taken, and what is counted."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from room_agent.core.counters import Counters
from room_agent.core.router_client import Description
from room_agent.core.settings import load_settings
from room_agent.video import recorder
from room_agent.video.recorder import FrameRecorder
from room_agent.video.selection import Source, TrackCandidate, select
from room_agent.video.uploader import DescribedFrame, KeptFrame
from room_agent.worker import STARTING_S, Admission
from routing.errors import ConfigurationError
from routing.latency import percentile


def candidate(sid: str, source: Source = "screen_share", muted: bool = False) -> TrackCandidate:
    return TrackCandidate(track_sid=sid, source=source, muted=muted)


def test_a_screen_share_is_watched_before_any_camera() -> None:
    chosen = select([candidate("c1", "camera"), candidate("s1"), candidate("c2", "camera")], max_tracks=4)
    assert chosen == {"s1": "screen_share"}


def test_a_camera_is_watched_where_nobody_shares() -> None:
    assert select([candidate("c1", "camera")], max_tracks=4) == {"c1": "camera"}
    muted_share = candidate("s1", muted=True)
    assert select([muted_share, candidate("c1", "camera")], max_tracks=4) == {"c1": "camera"}


def test_a_muted_track_is_not_watched() -> None:
    assert select([candidate("c1", "camera", muted=True)], max_tracks=4) == {}


def test_more_tracks_than_allowed_leave_the_first_ones_watched() -> None:
    assert list(select([candidate(f"s{n}") for n in range(9)], max_tracks=2)) == ["s0", "s1"]


def test_a_worker_takes_rooms_up_to_its_limit_counting_those_that_start() -> None:
    admission = Admission(max_rooms=2)
    assert admission.admit("a", running=[], now_s=0.0)
    assert admission.admit("b", running=["a"], now_s=1.0)
    assert not admission.admit("c", running=["a"], now_s=2.0)
    assert not admission.admit("c", running=["a", "b"], now_s=3.0)
    assert admission.admit("c", running=["b"], now_s=4.0)


def test_an_accepted_job_that_never_starts_gives_its_place_back() -> None:
    admission = Admission(max_rooms=1)
    assert admission.admit("a", running=[], now_s=0.0)
    assert not admission.admit("b", running=[], now_s=STARTING_S - 1)
    assert admission.admit("b", running=[], now_s=STARTING_S)


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 50), (0.95, 95), (1.0, 100)])
def test_a_percentile_is_the_nearest_rank(share: float, value: float) -> None:
    assert percentile([float(n) for n in range(1, 101)], share) == value


def test_a_report_has_answer_times_once_there_are_answers() -> None:
    counters = Counters()
    assert "answer_p50_ms" not in counters.report()
    for took_s in (0.1, 0.2, 0.9):
        counters.answered(took_s)
    assert counters.report()["answer_p50_ms"] == pytest.approx(200) and counters.report()["answers"] == 3


def described() -> DescribedFrame:
    frame = KeptFrame(jpeg=b"\xff\xd8", headers={}, why="text changed", captured_at_s=10.0)
    answer = Description(description="secret", model="simulated/m", tier="simple", cost_nanousd=7, simulated=True)
    return DescribedFrame(frame=frame, answer=answer, took_s=0.25)


async def test_a_recording_keeps_the_picture_and_its_price_and_ends_at_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MAX_FRAMES", 2)
    room = FrameRecorder(tmp_path, "tenant_acme_x")
    await asyncio.gather(*(room.add(described()) for _ in range(3)))
    lines = [json.loads(line) for line in (tmp_path / "tenant_acme_x" / "frames.jsonl").read_text().splitlines()]
    assert len(lines) == 2 and {line["cost_nanousd"] for line in lines} == {7}
    assert (tmp_path / "tenant_acme_x" / lines[0]["file"]).read_bytes() == b"\xff\xd8"
    assert "secret" not in (tmp_path / "tenant_acme_x" / "frames.jsonl").read_text()


def test_settings_name_every_variable_that_is_missing_or_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "RAYROOM_AGENT_KEYS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LIVEKIT_URL", "http://not-a-websocket")
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    for name in ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "RAYROOM_AGENT_KEYS"):
        assert name in refused.value.message


def test_the_first_of_several_agent_keys_is_used_and_none_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {"LIVEKIT_URL": "ws://x", "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "livekit-secret"}
    for name, value in (whole | {"RAYROOM_AGENT_KEYS": "first-key-0123456, second-key"}).items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.agent_key == "first-key-0123456"
    assert "first-key" not in repr(settings) and "livekit-secret" not in repr(settings)
