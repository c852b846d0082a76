"""A livekit-server for a file; two running systems for all: simulated models, and live vendors with a speaking agent.

A test that kills a part of one waits until it is whole again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.support.livekit_server import LiveKit, running_livekit
from tests.support.stack import Stack, System, running_stack, speaking_system


@pytest.fixture(scope="module")
def livekit() -> Iterator[LiveKit]:
    """A livekit-server alone."""
    with running_livekit() as livekit:
        yield livekit


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """livekit-server, Ray Serve on the fast path, the tRPC backend and the room agent."""
    # Replicas are killed while they answer, so answers take half the time that real ones do.
    with running_stack("all", {"simulation": {"seed": 7, "speed": 2.0}, "rooms": {"heartbeat_every_s": 1}}) as stack:
        yield stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system() -> AsyncIterator[System]:
    """The same with a voice, its vendors an emulator on the loop of the tests."""
    async with speaking_system() as system:
        yield system
