"""A recording holds each described frame and its cost, up to a limit."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from room_agent.core.models import FrameDescribed, KeptFrame, SharedTrack
from room_agent.core.router_client import Description
from room_agent.video import recorder
from room_agent.video.recorder import FrameRecorder


def described() -> FrameDescribed:
    track = SharedTrack(sid="TR_1", source="screen_share", shared_by="Ann", identity="ann")
    frame = KeptFrame(jpeg=b"\xff\xd8", headers={}, why="text changed", captured_at_s=10.0)
    answer = Description(description="secret", model="simulated/m", tier="simple", cost_nanousd=7, simulated=True)
    return FrameDescribed(track=track, frame=frame, answer=answer, took_s=0.25)


async def test_a_recording_stores_frames_and_costs_without_descriptions_up_to_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MAX_FRAMES", 2)
    recording = FrameRecorder(tmp_path, "tenant_acme_x")
    await asyncio.gather(*(recording.add(described()) for _ in range(3)))
    lines = [json.loads(line) for line in (tmp_path / "tenant_acme_x" / "frames.jsonl").read_text().splitlines()]
    assert len(lines) == 2 and {line["cost_nanousd"] for line in lines} == {7}
    assert (tmp_path / "tenant_acme_x" / lines[0]["file"]).read_bytes() == b"\xff\xd8"
    assert "secret" not in (tmp_path / "tenant_acme_x" / "frames.jsonl").read_text()
