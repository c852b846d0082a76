"""New content is CHANGED; a pointer, a caret, a clock and codec noise are not."""

import numpy as np
import pytest

from room_agent.frames.detector import ChangeDetector
from room_agent.frames.i420 import Planes
from room_agent.frames.noise import MANY_CELLS
from room_agent.frames.verdict import Judgement, RegionKind, Verdict
from tests.benchmarks.frames.codecs import half_size
from tests.support.drawn_changes import RECOLOURED, Change, Screen
from tests.support.screens import (
    Desktop,
    brightened,
    copied,
    photo,
    prose,
    slide,
    through_jpeg,
    through_vp8,
)

SIZES = [(1280, 720), (1920, 1080), (1367, 769)]
DESKTOPS = [Desktop(size=size, dark=dark) for size in SIZES for dark in (False, True)]


def judge(before: Planes, after: Planes) -> Judgement:
    detector = ChangeDetector()
    detector.keep(before)
    return detector.judge(after)


def edited(desktop: Desktop, row: int, old: str, new: str) -> Desktop:
    assert old in desktop.lines[row].split()
    line = desktop.lines[row].replace(old, new, 1)
    return desktop.with_changes(lines=(*desktop.lines[:row], line, *desktop.lines[row + 1 :]))


def line_end(desktop: Desktop, row: int) -> tuple[int, int]:
    """Return a point behind the longest possible line, level with a row."""
    return 760, 70 + 22 * row


@pytest.fixture(
    params=DESKTOPS, ids=lambda desktop: f"{desktop.size[0]}x{desktop.size[1]}-{'dark' if desktop.dark else 'light'}"
)
def desktop(request: pytest.FixtureRequest) -> Desktop:
    assert isinstance(request.param, Desktop)
    return request.param


def test_the_first_frame_is_new() -> None:
    judgement = ChangeDetector().judge(photo((640, 360)))
    assert (judgement.verdict, judgement.why) == (Verdict.NEW, "first frame")
    assert judgement.changed_share == 1.0 and judgement.box_px == (0, 0, 640, 360)


def test_a_black_frame_is_the_same_even_as_the_first_frame() -> None:
    picture, black = photo((640, 360)), Planes.from_i420(bytes([17]) * (640 * 360 * 3 // 2), 640, 360)
    detector = ChangeDetector()
    assert detector.judge(black) == judge(picture, black) == Judgement(verdict=Verdict.SAME, why="black")
    assert detector.judge(picture).verdict is Verdict.NEW


def test_an_identical_frame_is_the_same(desktop: Desktop) -> None:
    judgement = judge(desktop.planes(), desktop.planes())
    assert (judgement.verdict, judgement.cells, judgement.box_px) == (Verdict.SAME, 0, None)


@pytest.mark.parametrize("quality", [90, 75, 55])
def test_codec_noise_is_the_same(desktop: Desktop, quality: int) -> None:
    planes = desktop.planes()
    assert judge(planes, through_jpeg(planes, quality)).verdict is Verdict.SAME
    assert judge(through_jpeg(planes, quality), planes).verdict is Verdict.SAME


@pytest.mark.parametrize("luma", [-3, 3])
def test_a_slightly_brighter_screen_is_the_same(desktop: Desktop, luma: int) -> None:
    planes = desktop.planes()
    assert judge(planes, brightened(planes, luma)).verdict is Verdict.SAME


@pytest.mark.parametrize("pointer", [(705, 404), (722, 391), (660, 420), (1100, 640), (240, 300), (60, 500)])
def test_a_moved_pointer_is_the_same(desktop: Desktop, pointer: tuple[int, int]) -> None:
    judgement = judge(desktop.planes(), desktop.with_changes(pointer=pointer).planes())
    assert (judgement.verdict, judgement.why) == (Verdict.SAME, "pointer moved")


def test_a_pointer_moved_within_text_is_the_same(desktop: Desktop) -> None:
    over_text = desktop.with_changes(pointer=(300, 150))
    assert judge(over_text.planes(), over_text.with_changes(pointer=(310, 158)).planes()).verdict is Verdict.SAME
    assert judge(over_text.planes(), over_text.with_changes(pointer=(420, 300)).planes()).verdict is Verdict.SAME


def test_a_blinking_caret_is_the_same(desktop: Desktop) -> None:
    with_caret = desktop.with_changes(caret=line_end(desktop, 4))
    for before, after in ((desktop, with_caret), (with_caret, desktop)):
        judgement = judge(before.planes(), after.planes())
        assert (judgement.verdict, judgement.why) == (Verdict.SAME, "caret blinked")


def test_a_caret_and_a_pointer_that_change_together_are_the_same(desktop: Desktop) -> None:
    after = desktop.with_changes(caret=line_end(desktop, 4), pointer=(1000, 600))
    assert judge(desktop.planes(), after.planes()).verdict is Verdict.SAME


def test_a_ticking_clock_is_the_same(desktop: Desktop) -> None:
    judgement = judge(desktop.planes(), desktop.with_changes(clock="10:42").planes())
    assert (judgement.verdict, judgement.why) == (Verdict.SAME, "clock ticked")


def test_a_pointer_that_arrives_or_leaves_is_the_same(desktop: Desktop) -> None:
    blank = desktop.with_changes(lines=(), pointer=(800, 400))
    without = blank.with_changes(pointer=None)
    for before, after in ((blank, without), (without, blank)):
        assert judge(before.planes(), after.planes()).why == "pointer moved"


def test_a_typed_line_is_a_change_with_a_bounding_box(desktop: Desktop) -> None:
    judgement = judge(desktop.planes(), desktop.with_changes(lines=(*desktop.lines, "a line typed now")).planes())
    assert (judgement.verdict, judgement.why) == (Verdict.CHANGED, "text changed")
    assert judgement.box_px is not None
    left, top, right, bottom = judgement.box_px
    assert 180 <= left <= 195 and 460 <= top <= 475 and 260 <= right <= 340 and 475 <= bottom <= 490
    assert 0 < judgement.changed_share < 0.01


@pytest.mark.parametrize("row", range(0, 18, 3))
def test_a_changed_word_is_a_change(desktop: Desktop, row: int) -> None:
    word = max(desktop.lines[row].split(), key=len)
    after = edited(desktop, row, word, "".join(reversed(word)))
    assert judge(desktop.planes(), after.planes()).verdict is Verdict.CHANGED


@pytest.mark.parametrize("count", ["1042", "1029"])
def test_a_changed_number_is_a_change(desktop: Desktop, count: str) -> None:
    figures = desktop.with_changes(lines=("total of 1041 rooms",))
    assert judge(figures.planes(), edited(figures, 0, "1041", count).planes()).verdict is Verdict.CHANGED


def test_a_typed_line_beside_a_moved_pointer_is_a_change(desktop: Desktop) -> None:
    after = desktop.with_changes(lines=(*desktop.lines, "typed"), pointer=(1000, 600))
    assert judge(desktop.planes(), after.planes()).verdict is Verdict.CHANGED


def test_two_far_parts_of_a_large_change_are_two_findings() -> None:
    after = Screen().box((900, 60), (80, 40), (40, 104, 200)).text((60, 600), "a line typed below")
    judgement = judge(Screen().planes(), after.planes())
    assert judgement.cells > MANY_CELLS and len(judgement.findings) == 2
    assert {finding.kind for finding in judgement.findings} == {RegionKind.CONTENT}


def test_scrolling_is_a_change(desktop: Desktop) -> None:
    judgement = judge(desktop.planes(), desktop.with_changes(lines=desktop.lines[1:]).planes())
    assert (judgement.verdict, judgement.why) == (Verdict.CHANGED, "scene changed")


def test_opening_and_closing_a_dialog_are_changes(desktop: Desktop) -> None:
    with_dialog = desktop.with_changes(dialog="Save changes?")
    assert judge(desktop.planes(), with_dialog.planes()).verdict is Verdict.CHANGED
    assert judge(with_dialog.planes(), desktop.planes()).verdict is Verdict.CHANGED


def test_another_slide_is_a_change() -> None:
    first, second = slide("Goals", prose(3)), slide("Results", prose(4, seed=2))
    judgement = judge(first, second)
    assert (judgement.verdict, judgement.why) == (Verdict.CHANGED, "scene changed")


def test_pale_text_is_a_change() -> None:
    page = copied(photo((1280, 720)))
    page.y[:] = 235
    paler = copied(page)
    for left in range(200, 320, 24):
        paler.y[300:306, left : left + 3] = 200
    assert judge(page, paler).verdict is Verdict.CHANGED


def test_a_new_size_is_a_change_and_becomes_the_reference() -> None:
    detector = ChangeDetector()
    detector.keep(photo((640, 360)))
    judgement = detector.judge(photo((1280, 720)))
    assert (judgement.verdict, judgement.why) == (Verdict.CHANGED, "size changed")
    detector.keep(photo((1280, 720)))
    assert detector.judge(photo((1280, 720))).verdict is Verdict.SAME


def test_a_smaller_layer_of_the_kept_picture_is_the_same_until_its_content_changes() -> None:
    small = Desktop(size=(960, 540), lines=prose(14))
    large = Planes(**{name: getattr(small.planes(), name).repeat(2, 0).repeat(2, 1) for name in "yuv"})
    assert judge(large, small.planes()).verdict is Verdict.SAME
    assert judge(large, small.with_changes(pointer=(300, 250)).planes()).verdict is Verdict.SAME
    assert judge(large, small.with_changes(lines=prose(15)).planes()).verdict is Verdict.CHANGED
    assert judge(small.planes(), large).why == "size changed"


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)])
def test_every_simulcast_layer_of_the_kept_picture_is_the_same(size: tuple[int, int]) -> None:
    detector, desktop = ChangeDetector(), Desktop(size=size, lines=prose(18))
    detector.keep(desktop.planes())
    layer = desktop.planes()
    for _ in range(2):
        layer = half_size(layer)
        assert detector.judge(layer).verdict is Verdict.SAME, layer.width_px
    assert detector.judge(desktop.planes()).verdict is Verdict.SAME
    changed = half_size(slide("Goals", prose(3), size))
    assert detector.judge(changed).verdict is Verdict.CHANGED
    assert detector.judge(half_size(changed)).verdict is Verdict.CHANGED


def test_a_frame_is_compared_with_the_last_kept_frame() -> None:
    detector = ChangeDetector()
    picture = photo()
    detector.keep(picture)
    verdicts = [detector.judge(brightened(picture, luma)).verdict for luma in range(2, 40, 2)]
    assert verdicts[0] is Verdict.SAME and verdicts[-1] is Verdict.CHANGED


def test_a_reused_buffer_does_not_change_the_reference() -> None:
    detector = ChangeDetector()
    planes = copied(Desktop().planes())
    detector.keep(planes)
    planes.y[:] = 90
    assert detector.judge(planes).verdict is Verdict.CHANGED
    assert detector.judge(Desktop().planes()).verdict is Verdict.SAME


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (2, 300), (64, 64)])
def test_a_tiny_frame_gets_a_verdict(size: tuple[int, int]) -> None:
    detector = ChangeDetector()
    detector.keep(photo(size))
    assert detector.judge(photo(size)).verdict is Verdict.SAME
    assert detector.judge(photo(size, seed=8)).verdict in set(Verdict)
    assert detector.judge(photo()).verdict is Verdict.CHANGED


@pytest.mark.parametrize("dark", [False, True])
def test_verdicts_are_right_for_a_real_vp8_stream(dark: bool) -> None:
    still = Desktop(dark=dark, caret=(760, 158))
    moved = still.with_changes(pointer=(900, 500), caret=None)
    typed = moved.with_changes(lines=(*moved.lines, "a line typed now"))
    stream = through_vp8([desktop.planes() for desktop in (still, moved, typed) for _ in range(12)], kbps=900)
    detector = ChangeDetector()
    detector.keep(stream[8])
    assert [detector.judge(stream[index]).verdict for index in (11, 16, 23)] == [Verdict.SAME] * 3
    assert [detector.judge(stream[index]).verdict for index in (28, 35)] == [Verdict.CHANGED] * 2


@pytest.mark.parametrize("change", RECOLOURED, ids=lambda change: change.name)
def test_another_colour_is_a_change_at_any_brightness(change: Change) -> None:
    judgement = judge(change.before().planes(), change.after().planes())
    assert judgement.verdict in (Verdict.CHANGED, Verdict.MAYBE)


@pytest.mark.parametrize("levels", [3, 5])
def test_noise_in_chroma_is_the_same(desktop: Desktop, levels: int) -> None:
    planes, rng = desktop.planes(), np.random.default_rng(1)
    u, v = (
        (plane.astype(np.int16) + rng.integers(-levels, levels + 1, plane.shape)).clip(0, 255).astype(np.uint8)
        for plane in (planes.u, planes.v)
    )
    assert judge(planes, Planes(y=planes.y, u=u, v=v)).verdict is Verdict.SAME
