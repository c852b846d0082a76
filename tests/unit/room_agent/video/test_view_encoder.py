"""The pictures of a kept frame: an edit is sent as a part beside an overview, a new scene as a whole."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from room_agent.frames.i420 import Planes
from room_agent.frames.verdict import Judgement
from room_agent.video.frame_gate import FrameGate, pack_frame
from room_agent.video.frame_request import frame_body
from room_agent.video.view_encoder import ViewEncoder, changed_screen, cut, with_parts
from tests.support.screens import Desktop, photo, prose

DESKTOP = Desktop(size=(1920, 1080), lines=prose(40, words=20))


def judged(before: Planes, after: Planes) -> Judgement:
    gate = FrameGate()
    gate.offer(before, 0.0)
    return gate.offer(after, 1.0).judgement


def size_of(jpeg: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(jpeg)).size


def test_a_typed_line_is_sent_as_a_readable_part_with_its_place() -> None:
    after = DESKTOP.with_changes(lines=(*DESKTOP.lines, "a line typed now")).planes()
    encoder, judgement = ViewEncoder(1_024, None), judged(DESKTOP.planes(), after)
    decision = FrameGate().offer(after, 0.0)
    views = encoder.choose(after, judgement)
    frame = with_parts(pack_frame(after, decision, "TR_1", "screen_share", 1_024, 0.0), after, views)
    (part,) = frame.parts
    left, _, right, bottom = part.box_px
    # The text has 15 px, so that a little less than its full size can be read.
    assert 0.6 * (right - left) < size_of(part.jpeg)[0] < right - left
    assert judgement.box_px is not None and left < judgement.box_px[0] and bottom > judgement.box_px[3]
    assert frame.overview is not None and max(size_of(frame.overview)) <= 768 and size_of(frame.jpeg) == (1_024, 576)
    body = frame_body(frame)
    assert body is not None and body["screen"] == (1_920, 1_080) and body["crops"][0]["box"] == part.box_px


def test_a_new_scene_is_one_jpeg() -> None:
    planes, decision = DESKTOP.planes(), FrameGate().offer(DESKTOP.planes(), 0.0)
    views = ViewEncoder(1_024, None).choose(planes, decision.judgement)
    frame = with_parts(pack_frame(planes, decision, "TR_1", "screen_share", views.whole_px, 0.0), planes, views)
    assert frame.parts == () and frame_body(frame) is None and max(size_of(frame.jpeg)) == views.whole_px


def test_frames_take_no_more_tokens_on_average_than_whole_screens_of_the_usual_size() -> None:
    encoder, tokens = ViewEncoder(1_024, None), []
    for seed in range(12):
        planes = Desktop(size=(1920, 1080), lines=prose(40, words=20, seed=seed)).planes()
        tokens.append(encoder.choose(planes, FrameGate().offer(planes, 0.0).judgement).tokens)
    assert tokens[0] > tokens[-1] <= 576
    assert sum(tokens) <= (12 + 2) * 576


@pytest.mark.parametrize(("size", "long_side_px"), [((1_920, 1_080), 1_408), ((5_120, 1_440), 1_536)])
def test_a_turn_gets_a_picture_in_which_small_text_can_be_read(size: tuple[int, int], long_side_px: int) -> None:
    planes = Desktop(size=size, lines=prose(40, words=20)).planes()
    assert ViewEncoder(1_024, None).turn_long_side_px(planes, 1_536) == pytest.approx(long_side_px, rel=0.1)
    assert ViewEncoder(1_024, None).turn_long_side_px(planes, 1_216) == 1_216


def test_a_turn_gets_a_picture_without_text_in_the_usual_size_at_most() -> None:
    assert ViewEncoder(1_024, None).turn_long_side_px(photo((1_920, 1_080)), 1_536) == 1_024
    assert ViewEncoder(1_024, None).turn_long_side_px(photo((1_920, 1_080)), 496) == 496


def test_a_cut_has_the_pixels_of_its_box_and_its_own_chroma() -> None:
    planes = photo((64, 48))
    part = cut(planes, (11, 8, 40, 31))
    assert np.array_equal(part.y, planes.y[8:31, 10:40])
    assert np.array_equal(part.u, planes.u[4:16, 5:20]) and part.v.shape == ((31 - 8 + 1) // 2, 15)


def test_the_text_size_is_that_of_the_changed_part() -> None:
    after = DESKTOP.with_changes(lines=prose(40, words=20, seed=9)).planes()
    screen = changed_screen(after, judged(DESKTOP.planes(), after))
    assert screen.text_px is not None and 12 < screen.text_px < 19
    first = changed_screen(photo(), FrameGate().offer(photo(), 0.0).judgement)
    assert (first.boxes_px, first.text_px) == (((0, 0, 1280, 720),), None)
