"""The emulator every SDK is run against: it takes no time unless a test sets one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cluster.lab.emulator import Emulator, EmulatorState
from tests.support.certificates import one_certificate
from tests.support.sleep_probe import SleepProbe

__all__ = ["one_certificate"]


@pytest.fixture
def sleep_probe() -> SleepProbe:
    return SleepProbe()


@pytest.fixture
async def emulator(sleep_probe: SleepProbe) -> AsyncIterator[Emulator]:
    async with Emulator(EmulatorState(sleep=sleep_probe)).running() as emulator:
        yield emulator
