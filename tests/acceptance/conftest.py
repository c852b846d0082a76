"""A livekit-server for a file; two running systems for all: simulated models, and live vendors with a speaking agent.

A test that kills a process of a system waits until it is replaced.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from cluster.lab.stack.startup import Args
from tests.support.certificates import one_certificate
from tests.support.livekit_server import LiveKit, running_livekit
from tests.support.stack import Stack, System, running_speech_system, running_stack

__all__ = ["one_certificate"]


@pytest.fixture(scope="module")
def livekit() -> Iterator[LiveKit]:
    """A livekit-server without the other parts of the system."""
    with running_livekit() as livekit:
        yield livekit


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """livekit-server, Ray Serve on the fast path, the tRPC backend and the room agent."""
    # Answers take half of their real time, long enough for a test to kill a replica during one.
    args: Args = {"simulation": {"seed": 7, "speed": 2.0}, "rooms": {"heartbeat_every_s": 1}}
    with running_stack("all", args | {"tools": {"internal_hosts": ["127.0.0.1"]}}) as stack:
        yield stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system() -> AsyncIterator[System]:
    """The same system with speech; its vendors are an emulator on the loop of the tests."""
    async with running_speech_system() as system:
        yield system
