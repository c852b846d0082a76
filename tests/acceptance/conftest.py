"""One running system for all tests that leave it whole, and one more for those that break parts of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.stack import Stack, running_stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """livekit-server, Ray Serve on the fast path, the tRPC backend and the room agent."""
    with running_stack("all") as stack:
        yield stack


@pytest.fixture(scope="module")
def breakable() -> Iterator[Stack]:
    """Ray Serve and the tRPC backend, to be broken; its vendors take about as long as real ones."""
    with running_stack("app", {"simulation": {"seed": 7, "speed": 2.0}}) as stack:
        yield stack
