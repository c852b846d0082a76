"""Count the project files that one request passes, and how often it comes back to a file that it has left."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGES = ("room_agent", "deployments", "routing", "cluster")


@dataclass
class Walk:
    """The files of a walk in the order of the first call into each, and the calls that came back to one of them.

    - A file is passed when a function or coroutine of it starts. Only files below `PACKAGES` count; functions that a
      library generates, such as a dataclass's `__init__`, have no file.
    - A return is a call from one project file into another one that the walk has passed before. A call within a file
      is none. A function that ends and hands its result to its caller is none. A coroutine counts when it starts, not
      when it resumes after a wait.
    """

    files: list[str] = field(default_factory=list)
    returns: list[tuple[str, str]] = field(default_factory=list)
    """Caller and callee of each return."""
    _frames: set[FrameType] = field(default_factory=set, repr=False)

    def _on_event(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or frame in self._frames or (file := _file_of(frame)) is None:
            return
        # Kept, so that no later frame has the identity of one that was counted.
        self._frames.add(frame)
        if file not in self.files:
            self.files.append(file)
            return
        caller = _caller_of(frame)
        if caller != file:
            self.returns.append((caller or "", file))


def _file_of(frame: FrameType) -> str | None:
    path = frame.f_code.co_filename
    if not path.startswith(str(ROOT)):
        return None
    relative = path[len(str(ROOT)) + 1 :]
    return relative if relative.split("/")[0] in PACKAGES else None


def _caller_of(frame: FrameType) -> str | None:
    """Return the nearest project file above a frame."""
    above = frame.f_back
    while above is not None:
        if (file := _file_of(above)) is not None:
            return file
        above = above.f_back
    return None


@contextmanager
def counted_walk() -> Iterator[Walk]:
    """Yield the walk of all that runs in this thread inside the block, other tasks of its event loop included."""
    walk = Walk()
    before = sys.getprofile()
    sys.setprofile(walk._on_event)
    try:
        yield walk
    finally:
        sys.setprofile(before)
