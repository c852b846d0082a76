"""Writes kept frames, and what became of each, into a directory. Off unless a directory is named."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from room_agent.video.uploader import DescribedFrame

MAX_FRAMES = 10_000
"""A recording ends there: it is for looking at a run, not for keeping one."""


class FrameRecorder:
    """One room's recorded frames: NNNNN.jpeg files and one JSON line a frame in frames.jsonl."""

    def __init__(self, directory: Path, room: str) -> None:
        self._directory = directory / room
        self._frames = 0

    async def add(self, described: DescribedFrame) -> None:
        """Write one frame, off the event loop."""
        if self._frames >= MAX_FRAMES:
            return
        self._frames += 1
        await asyncio.to_thread(self._write, self._frames, described)

    def _write(self, number: int, described: DescribedFrame) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        name = f"{number:05}.jpeg"
        (self._directory / name).write_bytes(described.frame.jpeg)
        line = {
            "file": name,
            "captured_at_s": described.frame.captured_at_s,
            "why": described.frame.why,
            "model": described.answer.model,
            "tier": described.answer.tier,
            "cost_nanousd": described.answer.cost_nanousd,
            "answer_ms": round(1_000 * described.took_s, 1),
        }
        with (self._directory / "frames.jsonl").open("a") as lines:
            lines.write(json.dumps(line) + "\n")
