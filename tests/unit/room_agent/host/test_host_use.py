"""The meter reads the memory of a container with a limit, and counts the processor time of this process alone."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from room_agent.host.host_use import CPU_EVERY_S, HostMeter, memory_of
from tests.support.manual_clock import ManualClock

LIMIT = 1_000_000_000


def write_cgroup(path: Path, limit: str) -> Path:
    (path / "memory.max").write_text(f"{limit}\n")
    (path / "memory.current").write_text("700000000\n")
    (path / "memory.stat").write_text("anon 1\ninactive_file 200000000\n")
    return path


def test_the_memory_of_a_container_is_its_limit_without_the_pages_that_can_be_given_back(tmp_path: Path) -> None:
    assert memory_of(write_cgroup(tmp_path, str(LIMIT))) == (1_000.0, 0.5)


@pytest.mark.parametrize("limit", ["max", str(2**62)])
def test_without_a_limit_it_is_the_memory_of_the_machine(tmp_path: Path, limit: str) -> None:
    total_mb, share = memory_of(write_cgroup(tmp_path, limit))
    assert total_mb == psutil.virtual_memory().total / 1e6 and 0 < share < 1


def test_the_processor_time_is_read_now_and_then_and_is_that_of_this_process(tmp_path: Path) -> None:
    clock = ManualClock(0.0)
    meter = HostMeter(clock, tmp_path)
    clock.now_s += CPU_EVERY_S - 1
    assert meter.measure().cpu == 0.0
    sum(number * number for number in range(500_000))
    clock.now_s += 1
    used = meter.measure().cpu
    # By the clock of the test five seconds have passed.
    assert 0 < used < 1
