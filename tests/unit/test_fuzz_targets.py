"""No bytes of a stranger raise anything but our own errors: the short form of `make fuzz`."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.seeds import seeds
from tests.fuzz.strategies import mutated
from tests.fuzz.targets import TARGETS

SEEDS = seeds()


@pytest.mark.parametrize("name", TARGETS)
def test_no_bytes_raise_anything_but_our_own_errors(name: str) -> None:
    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.one_of(st.binary(max_size=200), mutated(SEEDS[name])))
    def fuzz(data: bytes) -> None:
        TARGETS[name](data)

    fuzz()


def test_each_target_has_inputs_to_start_from() -> None:
    assert SEEDS.keys() == TARGETS.keys() and all(SEEDS.values())
