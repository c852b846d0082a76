"""Counters gather what is added, and hand it to Ray once a second."""

from __future__ import annotations

import asyncio

import pytest

from deployments.common.instruments import Instruments
from routing.telemetry.metric import Metric
from tests.support.recorded_instruments import RecordedInstruments

TRIES = Metric(
    name="rayroom_tries",
    kind="counter",
    part="router",
    help="Tries.",
    labels=("outcome",),
    values={"outcome": ("ok", "error")},
)


@pytest.fixture
def seen() -> RecordedInstruments:
    return RecordedInstruments()


async def flushed(seen: RecordedInstruments, total: float) -> None:
    for _ in range(100_000):
        if seen.total(TRIES.name) == total:
            return
        await asyncio.sleep(0)
    raise AssertionError("nothing was flushed")


async def test_what_is_added_is_gathered_by_series_and_flushed_later(seen: RecordedInstruments) -> None:
    instruments = Instruments([TRIES], make=seen.make, wait_s=0.001)
    for outcome in ("ok", "ok", "error", "ok"):
        instruments.add(TRIES.name, 2, {"outcome": outcome})
    assert seen.total(TRIES.name) == 0
    await flushed(seen, 8)
    assert seen.values(TRIES.name, outcome="ok") == [0.0, 6.0]
    assert seen.values(TRIES.name, outcome="error") == [0.0, 2.0]
    instruments.add(TRIES.name, 1, {"outcome": "ok"})
    await flushed(seen, 9)


def test_an_amount_of_zero_is_not_added_and_another_thread_adds_at_once(seen: RecordedInstruments) -> None:
    instruments = Instruments([TRIES], make=seen.make)
    instruments.add(TRIES.name, 0, {"outcome": "ok"})
    instruments.add_now(TRIES.name, 3, {"outcome": "ok"})
    assert seen.values(TRIES.name, outcome="ok") == [0.0, 3.0]


def test_the_last_values_of_gauges_are_recorded_again_because_ray_forgets_them(seen: RecordedInstruments) -> None:
    state = Metric(name="rayroom_state", kind="gauge", part="router", help="State.", labels=("model",))
    instruments = Instruments([state], rows=[{"model": "a"}, {"model": "b"}], make=seen.make)
    instruments.set(state.name, 2.0, {"model": "a"})
    instruments.record_gauges()
    assert seen.values(state.name, model="a") == [0.0, 2.0, 2.0] and seen.values(state.name, model="b") == [0.0, 0.0]
