"""Scenes and edits are sent once they settle, uncertain changes if nothing bears them out, repeats never."""

from collections.abc import Iterable

from room_agent.frames.i420 import Planes
from room_agent.frames.phash import phash
from room_agent.frames.verdict import Verdict
from room_agent.video.frame_gate import FrameGate, GateDecision, pack_frame
from tests.support.drawn_changes import Screen
from tests.support.screens import Desktop, photo, prose, slide

DESKTOP = Desktop()


def decisions_for(
    screens: Iterable[Desktop], gate: FrameGate | None = None, start_s: float = 0.0
) -> list[GateDecision]:
    """Offer one screen a second, and return the decisions."""
    gate = gate or FrameGate()
    return [gate.offer(screen.planes(), start_s + second) for second, screen in enumerate(screens)]


def kept_seconds(decisions: list[GateDecision]) -> list[int]:
    return [second for second, decision in enumerate(decisions) if decision.keep]


def with_typed_letters(letters: int) -> Desktop:
    """Return the desktop with the first letters of one more line."""
    return DESKTOP.with_changes(lines=(*DESKTOP.lines, prose(1, seed=5)[0][:letters]))


def test_a_still_screen_is_sent_once() -> None:
    decisions = decisions_for([DESKTOP] * 20)
    assert kept_seconds(decisions) == [0]
    assert (decisions[0].why, decisions[1].why) == ("first frame", "nothing changed")


def test_a_moving_pointer_and_a_blinking_caret_send_no_frame() -> None:
    screens = [
        DESKTOP.with_changes(pointer=(300 + 37 * second, 500), caret=(760, 158) if second % 2 else None)
        for second in range(20)
    ]
    assert kept_seconds(decisions_for(screens)) == [0]


def test_a_new_scene_is_sent_in_its_second_sample() -> None:
    gate = FrameGate()
    decisions_for([DESKTOP, DESKTOP], gate)
    goals = slide("Goals", prose(3))
    decisions = [gate.offer(goals, 2.0 + second) for second in range(4)]
    assert kept_seconds(decisions) == [1] and decisions[1].why == "scene changed"


def test_a_typed_line_is_sent_once_typing_stops() -> None:
    screens = [
        DESKTOP,
        with_typed_letters(12),
        with_typed_letters(24),
        with_typed_letters(36),
        *[with_typed_letters(36)] * 10,
    ]
    decisions = decisions_for(screens)
    assert kept_seconds(decisions) == [0, 5]
    assert decisions[5].why == "text changed"


def test_a_moving_pointer_does_not_delay_a_settled_edit() -> None:
    screens = [DESKTOP, *[with_typed_letters(36).with_changes(pointer=(300 + 50 * second, 600)) for second in range(6)]]
    assert kept_seconds(decisions_for(screens)) == [0, 3]


def test_continuous_typing_is_sent_after_eight_seconds_and_then_every_thirty() -> None:
    text = " ".join(prose(2, seed=5))
    screens = [DESKTOP.with_changes(lines=(*DESKTOP.lines, text[: 3 * second // 2])) for second in range(43)]
    assert kept_seconds(decisions_for(screens))[:3] == [0, 9, 40]


def test_an_undone_edit_is_never_sent() -> None:
    assert kept_seconds(
        decisions_for(
            [DESKTOP, with_typed_letters(20), DESKTOP, DESKTOP, with_typed_letters(20), DESKTOP, DESKTOP, DESKTOP]
        )
    ) == [0]


def test_a_small_shape_that_moves_once_is_sent_within_ten_seconds() -> None:
    before, after = (Screen().dot(at, (40, 40, 40), 10).planes() for at in ((700, 100), (700, 130)))
    gate = FrameGate()
    decisions = [gate.offer(after if second else before, float(second)) for second in range(20)]
    assert decisions[1].judgement.verdict is Verdict.MAYBE
    assert kept_seconds(decisions) == [0, 8] and decisions[8].why == "small spot changed"


def test_a_small_shape_that_moves_back_is_not_sent() -> None:
    before, after = (Screen().dot(at, (40, 40, 40), 10).planes() for at in ((700, 100), (700, 130)))
    gate = FrameGate()
    decisions = [gate.offer(after if second % 4 == 1 else before, float(second)) for second in range(20)]
    assert kept_seconds(decisions) == [0]


def test_a_page_that_returns_beside_a_caret_is_reused_once_the_caret_has_blinked() -> None:
    page, goals = DESKTOP.planes(), slide("Goals", prose(3))
    with_caret = DESKTOP.with_changes(caret=(760, 158)).planes()

    def kept_after(returned: list[Planes]) -> list[tuple[int, int | None]]:
        gate = FrameGate()
        looks = [gate.offer(planes, float(second)) for second, planes in enumerate([page] * 3 + [goals] * 4 + returned)]
        return [(second, decision.same_as) for second, decision in enumerate(looks) if decision.keep][2:]

    assert kept_after([with_caret, with_caret, with_caret, page, page]) == [(10, 1)]
    # A letter of a caret's outline stays, and makes another page.
    assert kept_after([with_caret] * 5) == [(10, None)]


def test_a_lost_frame_is_kept_again() -> None:
    gate = FrameGate()
    assert kept_seconds(decisions_for([DESKTOP, DESKTOP], gate)) == [0]
    gate.forget()
    decision = gate.offer(DESKTOP.planes(), 2.0)
    assert (decision.keep, decision.why) == (True, "first frame")
    assert not gate.offer(DESKTOP.planes(), 3.0).keep


def test_a_packed_frame_carries_its_measurements_in_headers() -> None:
    planes = DESKTOP.planes()
    frame = pack_frame(planes, FrameGate().offer(planes, 0.0), "TR_1", "screen_share", 640, 1_700_000_000.25)
    assert frame.jpeg.startswith(b"\xff\xd8") and (frame.why, frame.captured_at_s) == ("first frame", 1_700_000_000.25)
    assert frame.headers["x-frame-captured-at"] == "1700000000.250" and frame.headers["x-frame-track"] == "TR_1"
    assert frame.headers["x-frame-source"] == "screen_share" and frame.headers["x-frame-novelty"] == "1.0000"
    assert int(frame.headers["x-frame-phash"], 16) == phash(planes)
    assert 0 < float(frame.headers["x-frame-text-density"]) < 1


def test_a_minute_of_editing_sends_few_frames_and_misses_no_line() -> None:
    lines, screens = DESKTOP.lines, []
    for second in range(60):
        if second % 15 == 7:
            lines = (*lines[1:], f"line typed in second {second}")
        screens.append(
            DESKTOP.with_changes(lines=lines, pointer=(300 + 13 * second % 700, 560), clock=f"10:{41 + second // 30}")
        )
    decisions = decisions_for(screens)
    assert kept_seconds(decisions) == [0, 8, 23, 38, 53]


def test_a_share_whose_size_changes_in_every_sample_is_sent_every_thirty_seconds_and_once_it_rests() -> None:
    gate = FrameGate()
    sizes = [(640 + 2 * number, 360) for number in range(50)]
    kept = [at_s for at_s, size in enumerate(sizes) if gate.offer(photo(size), float(at_s)).keep]
    assert len(kept) <= 2 and kept[0] == 0
    after = [gate.offer(photo((900, 500)), 50.0 + at_s) for at_s in range(4)]
    assert [decision.keep for decision in after] == [False, True, False, False] and after[1].why == "size changed"
