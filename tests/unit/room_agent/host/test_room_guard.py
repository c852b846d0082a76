"""A room that stalls or spins is ended alone; a process that leaks, or whose room cannot be ended, drains."""

from __future__ import annotations

import pytest

from room_agent.host.room_guard import (
    BASE_MB,
    CHECK_EVERY_S,
    LEAST_MB,
    NEXT_STEP_S,
    ROOM_MB,
    SPIN_S,
    STALLED_S,
    GuardStep,
    RoomHealth,
    leaks,
)


def steps(
    health: RoomHealth, until_s: float, share: float = 0.0, answers: bool = True
) -> list[tuple[float, GuardStep]]:
    """Judge a room as the guard does; return each step with its time."""
    taken: list[tuple[float, GuardStep]] = []
    now_s = 0.0
    while now_s <= until_s:
        step = health.judge(share * now_s, now_s)
        if step is not GuardStep.NONE:
            taken.append((now_s, step))
        if answers:
            health.answered_s = now_s
        now_s += CHECK_EVERY_S
    return taken


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_busy_room_that_answers_is_left_alone(share: float) -> None:
    assert steps(RoomHealth(answered_s=0.0), 300.0, share) == []


def test_a_stalled_room_is_killed_and_then_its_process_is_retired_once() -> None:
    taken = steps(RoomHealth(answered_s=0.0), 300.0, answers=False)
    assert taken == [(STALLED_S, GuardStep.KILL), (STALLED_S + NEXT_STEP_S, GuardStep.RETIRE)]


def test_a_spinning_room_is_asked_to_leave_before_it_is_killed() -> None:
    taken = steps(RoomHealth(answered_s=0.0), SPIN_S + NEXT_STEP_S, share=0.9)
    assert taken == [(SPIN_S, GuardStep.LEAVE), (SPIN_S + NEXT_STEP_S, GuardStep.KILL)]


def test_the_memory_that_a_process_may_use_grows_with_its_rooms() -> None:
    assert not leaks(LEAST_MB, 1) and leaks(LEAST_MB + 1, 1)
    assert not leaks(BASE_MB + 32 * ROOM_MB, 32) and leaks(BASE_MB + 32 * ROOM_MB + 1, 32)
