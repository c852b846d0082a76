"""New scenes are sent at once, edits when they rest, doubts when they last, repeats never."""

from collections.abc import Iterable

import pytest

from room_agent.frames.detector import Verdict
from room_agent.video.frame_gate import FrameGate, GateDecision, GateSettings
from tests.support.screens import Desktop, prose, slide

DESK = Desktop()


def watched(screens: Iterable[Desktop], gate: FrameGate | None = None, start_s: float = 0.0) -> list[GateDecision]:
    """Offer one screen a second."""
    gate = gate or FrameGate()
    return [gate.offer(screen.planes(), start_s + second) for second, screen in enumerate(screens)]


def kept(decisions: list[GateDecision]) -> list[int]:
    return [second for second, decision in enumerate(decisions) if decision.keep]


def typed(letters: int) -> Desktop:
    """The desk with a part of one more line on it."""
    return DESK.but(lines=(*DESK.lines, prose(1, seed=5)[0][:letters]))


def test_a_still_screen_is_sent_once():
    decisions = watched([DESK] * 20)
    assert kept(decisions) == [0]
    assert (decisions[0].why, decisions[1].why) == ("first frame", "nothing changed")


def test_a_busy_pointer_and_a_caret_cost_nothing():
    screens = [
        DESK.but(pointer=(300 + 37 * second, 500), caret=(760, 158) if second % 2 else None) for second in range(20)
    ]
    assert kept(watched(screens)) == [0]


def test_a_new_scene_is_sent_at_once():
    gate = FrameGate()
    watched([DESK, DESK], gate)
    decision = gate.offer(slide("Goals", prose(3)), 2.0)
    assert (decision.keep, decision.why) == (True, "scene changed")
    assert not gate.offer(slide("Goals", prose(3)), 3.0).keep


def test_a_typed_line_is_sent_once_it_rests():
    screens = [DESK, typed(12), typed(24), typed(36), *[typed(36)] * 10]
    decisions = watched(screens)
    assert kept(decisions) == [0, 5]
    assert decisions[5].why == "text changed"


def test_a_moving_pointer_does_not_disturb_the_rest():
    screens = [DESK, *[typed(36).but(pointer=(300 + 50 * second, 600)) for second in range(6)]]
    assert kept(watched(screens)) == [0, 3]


def test_typing_without_a_rest_is_sent_every_eight_seconds():
    lines = prose(40, seed=5, words=2)
    screens = [DESK.but(lines=lines[: 1 + second % 20]) for second in range(20)]
    assert kept(watched(screens, FrameGate(GateSettings(large_cells=10**9))))[:3] == [0, 9, 18]


def test_an_edit_taken_back_is_never_sent():
    assert kept(watched([DESK, typed(20), DESK, DESK, typed(20), DESK, DESK, DESK])) == [0]


def test_a_doubt_is_sent_when_it_lasts():
    blank = DESK.but(lines=(), pointer=(800, 400))
    gone = blank.but(pointer=None)
    decisions = watched([blank, gone, gone, gone, gone])
    assert decisions[1].judgement.verdict is Verdict.MAYBE
    assert kept(decisions) == [0, 3]


def test_a_doubt_that_passes_is_not_sent():
    blank = DESK.but(lines=(), pointer=(800, 400))
    gone = blank.but(pointer=None)
    assert kept(watched([blank, gone, gone, blank, gone, gone, blank])) == [0]


def test_a_heartbeat_sends_even_a_still_screen():
    gate = FrameGate(GateSettings(heartbeat_s=10.0))
    decisions = watched([DESK] * 25, gate)
    assert kept(decisions) == [0, 10, 20]
    assert decisions[10].why == "heartbeat"


@pytest.mark.parametrize("quiet_samples", [1, 3])
def test_the_wait_is_a_setting(quiet_samples):
    gate = FrameGate(GateSettings(quiet_samples=quiet_samples))
    assert kept(watched([DESK, *[typed(30)] * 8], gate)) == [0, 1 + quiet_samples]


def test_a_minute_of_work_costs_a_few_frames_and_misses_no_line():
    lines, screens = DESK.lines, []
    for second in range(60):
        if second % 15 == 7:
            lines = (*lines[1:], f"line typed in second {second}")
        screens.append(DESK.but(lines=lines, pointer=(300 + 13 * second % 700, 560), clock=f"10:{41 + second // 30}"))
    decisions = watched(screens)
    assert kept(decisions) == [0, 7, 22, 37, 52]
