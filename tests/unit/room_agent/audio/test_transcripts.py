"""Check which partial transcripts are reported as stable."""

from __future__ import annotations

from room_agent.audio.transcripts import MAX_REPORTS, STABLE_S, StablePartial


def test_a_stable_partial_transcript_is_reported_once() -> None:
    stable = StablePartial()
    assert not stable.should_report("how much", False, 1.0)
    assert not stable.should_report("how much leave", False, 1.0 + STABLE_S)
    assert stable.should_report("how much leave", False, 1.0 + 2 * STABLE_S)
    assert not stable.should_report("How much leave?", False, 9.0)


def test_a_final_segment_is_reported_at_once_and_an_empty_one_never() -> None:
    stable = StablePartial()
    assert not stable.should_report("", True, 1.0)
    assert stable.should_report("how much leave", True, 1.0)


def test_a_changing_utterance_is_reported_a_limited_number_of_times() -> None:
    stable = StablePartial()
    reported = [stable.should_report(f"how much for number {number}", True, 1.0) for number in range(20)]
    assert sum(reported) == MAX_REPORTS
    stable.reset()
    assert stable.should_report("how much", True, 2.0)
