"""Count the project files that a request passes, and its returns to a file that it has left."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGES = ("room_agent", "deployments", "routing", "cluster")
_AWAITED = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


@dataclass
class Walk:
    """The files that a request passes, and the calls that come back to one of them.

    - A file is touched when a function of it starts. Only files below `PACKAGES` count; functions that a library
      generates, such as a dataclass's `__init__`, have no file.
    - A file is passed when a coroutine or an async generator of it starts: it hands the request on and awaits the
      result. A file that is touched and not passed only computes something on the way: a score, a price, a header.
    - A return is a call from one passed file into another one that was touched before. A call within a file is none. A
      function that ends and hands its result to its caller is none. A coroutine counts when it starts, not when it
      resumes after a wait.
    """

    touched: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    """The passed files, in the order of their first coroutine."""
    calls_back: list[tuple[str, str]] = field(default_factory=list)
    """Caller and callee of each call into a file that was touched before; the caller is empty above the packages."""
    _frames: set[FrameType] = field(default_factory=set, repr=False)

    @property
    def returns(self) -> list[tuple[str, str]]:
        """Return those calls back that are between two passed files."""
        return [(caller, file) for caller, file in self.calls_back if caller in self.files and file in self.files]

    def on_event(self, frame: FrameType, event: str, _: Any) -> None:
        """Count one event of `sys.setprofile`."""
        # A coroutine that resumes is a call of the same frame.
        if event != "call" or frame in self._frames or (file := _file_of(frame)) is None:
            return
        # The frame is kept, so that no later one has the same identity.
        self._frames.add(frame)
        if frame.f_code.co_flags & _AWAITED and file not in self.files:
            self.files.append(file)
        if file not in self.touched:
            self.touched.append(file)
        elif (caller := _caller_of(frame)) != file:
            self.calls_back.append((caller, file))


@contextmanager
def counted_walk() -> Iterator[Walk]:
    """Yield the walk of all code that runs in this thread until exit, other tasks of its event loop included."""
    walk = Walk()
    before = sys.getprofile()
    sys.setprofile(walk.on_event)
    try:
        yield walk
    finally:
        sys.setprofile(before)


def _file_of(frame: FrameType) -> str | None:
    path = Path(frame.f_code.co_filename)
    if not path.is_relative_to(ROOT):
        return None
    relative = path.relative_to(ROOT)
    return relative.as_posix() if relative.parts[0] in PACKAGES else None


def _caller_of(frame: FrameType) -> str:
    """Return the nearest project file above a frame, or nothing."""
    above = frame.f_back
    while above is not None:
        if (file := _file_of(above)) is not None:
            return file
        above = above.f_back
    return ""
