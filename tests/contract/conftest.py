"""The emulator every SDK is run against: it takes no time unless a test says so."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cluster.lab.emulator import Emulator, EmulatorState
from tests.support.stall import Stall


@pytest.fixture
def stall() -> Stall:
    return Stall()


@pytest.fixture
async def emulator(stall: Stall) -> AsyncIterator[Emulator]:
    async with Emulator(EmulatorState(sleep=stall)).running() as emulator:
        yield emulator
