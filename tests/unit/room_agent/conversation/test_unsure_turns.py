"""A room's unsure turns are limited, and both sides of the limit are counted."""

from __future__ import annotations

from room_agent.conversation.unsure_turns import BURST, PER_MINUTE, UnsureTurns


def test_turns_beyond_the_limit_are_refused_until_time_has_passed() -> None:
    turns = UnsureTurns()
    assert [turns.admits(100.0) for _ in range(BURST + 2)] == [True] * BURST + [False] * 2
    assert turns.admits(100.0 + 60 / PER_MINUTE) and not turns.admits(100.0 + 60 / PER_MINUTE)
    assert turns.report() == {"voice_unsure": BURST + 1, "voice_unsure_refused": 3}
