"""Writes described frames and their cost into a directory. Off unless `RAYROOM_RECORD_DIR` is set."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from room_agent.core.models import FrameDescribed

MAX_FRAMES = 10_000
"""The length of a recording: it serves to inspect a run, not to archive a room."""


class FrameRecorder:
    """One room's recorded frames: NNNNN.jpeg files and one JSON line a frame in frames.jsonl."""

    def __init__(self, directory: Path, room: str) -> None:
        self._directory = directory / room
        self._frames = 0

    async def add(self, event: FrameDescribed) -> None:
        """Write one frame, off the event loop."""
        if self._frames >= MAX_FRAMES:
            return
        self._frames += 1
        await asyncio.to_thread(self._write, self._frames, event)

    def _write(self, number: int, event: FrameDescribed) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        name = f"{number:05}.jpeg"
        (self._directory / name).write_bytes(event.frame.jpeg)
        # The description itself is left out: it may quote a confidential screen.
        line = {
            "file": name,
            "captured_at_s": event.frame.captured_at_s,
            "why": event.frame.why,
            "model": event.answer.model,
            "tier": event.answer.tier,
            "cost_nanousd": event.answer.cost_nanousd,
            "answer_ms": round(1_000 * event.took_s, 1),
            "reused": event.reused,
        }
        with (self._directory / "frames.jsonl").open("a") as lines:
            lines.write(json.dumps(line) + "\n")
