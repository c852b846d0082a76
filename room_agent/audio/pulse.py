"""Lets a vendor's socket tell who had it opened that something came over it. Knows no vendor.

A plugin keeps to itself what has no words in it: who waits for words cannot tell a vendor that hears none from one
that is dead. A stream's tasks are begun where the stream is, so they and their socket see what was set around that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_FELT: ContextVar[Callable[[], None] | None] = ContextVar("pulse", default=None)


@contextmanager
def felt_by(feel: Callable[[], None]) -> Iterator[None]:
    """Have `feel` called for each message to a socket of the streams that are begun within the block."""
    token = _FELT.set(feel)
    try:
        yield
    finally:
        _FELT.reset(token)


def who_feels() -> Callable[[], None] | None:
    return _FELT.get()
