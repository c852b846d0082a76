"""What moves all the time is sent a few times a minute, and nothing beside it waits for it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from room_agent.frames.i420 import Planes
from room_agent.video.frame_gate import FrameGate, GateDecision, pack_frame
from tests.support.drawn_changes import LIGHT, Screen
from tests.support.screens import planes_of

SECONDS = 60
LINE_S = 35
Draw = Callable[[Screen, int], object]


def decisions_for(draw: Draw, seconds: int = SECONDS) -> list[GateDecision]:
    """Offer a page with an animation; a line is typed below in one second."""
    gate = FrameGate()
    decisions = []
    for second in range(seconds):
        screen = Screen(lines=14)
        if second >= LINE_S:
            screen.text((60, 560), "a line typed beside the animation")
        draw(screen, second)
        decisions.append(gate.offer(screen.planes(), float(second)))
    return decisions


def kept(decisions: list[GateDecision]) -> list[tuple[int, str]]:
    return [(second, decision.why) for second, decision in enumerate(decisions) if decision.keep]


def video(width_px: int, height_px: int) -> Draw:
    def draw(screen: Screen, second: int) -> None:
        coarse = np.random.default_rng(second).integers(0, 255, (height_px // 16, width_px // 16, 3), dtype=np.uint8)
        screen.image.paste(Image.fromarray(coarse).resize((width_px, height_px)), (1280 - width_px, 0))

    return draw


def spinner(screen: Screen, second: int) -> None:
    angle = second * 155 % 360
    screen.draw.arc((900, 300, 920, 320), angle, angle + 270, fill=(40, 104, 200), width=3)


def ticker(screen: Screen, second: int) -> None:
    screen.box((700, 690), (580, 24), (20, 20, 20))
    screen.text((710 - second * 37 % 300, 692), "the market moves up and the sun shines " * 3, (240, 240, 240))


def progress_bar(screen: Screen, second: int) -> None:
    screen.box((700, 300), (400, 16), (220, 220, 220)).box((700, 300), (6 * second + 1, 16), (40, 104, 200))


def table(screen: Screen, second: int) -> None:
    screen.box((700, 80), (560, 400), (10, 10, 10))
    for row in range(16):
        screen.text((710, 84 + 24 * row), f"{(second // 2 + row) * 7919 % 9973:5d} user process {row}", (180, 220, 180))


@pytest.mark.parametrize("draw", [video(640, 352), spinner, ticker, progress_bar, table])
def test_a_typed_line_beside_an_animation_is_sent_within_three_seconds(draw: Draw) -> None:
    sent = kept(decisions_for(draw))
    assert [second - LINE_S for second, _ in sent if LINE_S < second <= LINE_S + 3]
    # Besides the line, an animation costs a frame in thirty seconds, and a few while it is new.
    assert len(sent) <= 6


def test_a_video_over_the_whole_screen_costs_two_frames_a_minute() -> None:
    sent = kept(decisions_for(video(1280, 720), seconds=120))
    assert len(sent) <= 5
    assert all(later - earlier >= 15 for (earlier, _), (later, _) in pairwise(sent))


def test_the_model_is_told_which_box_moves() -> None:
    decision = next(decision for decision in decisions_for(video(640, 352)) if decision.keep and decision.moving)
    ((left, top, right, bottom),) = decision.moving
    assert abs(left - 0.5) < 0.02 and top == 0.0 and right == 1.0 and abs(bottom - 352 / 720) < 0.02
    planes = Screen().planes()
    frame = pack_frame(planes, decision, "TR_1", "screen_share", 640, 0.0)
    assert frame.headers["x-frame-moving"] == ",".join(str(round(1_000 * edge)) for edge in decision.moving[0])
    still = FrameGate().offer(planes, 0.0)
    assert "x-frame-moving" not in pack_frame(planes, still, "TR_1", "screen_share", 640, 0.0).headers


def test_the_last_picture_of_a_video_is_sent_once_it_stops() -> None:
    moving = video(640, 352)
    sent = kept(decisions_for(lambda screen, second: moving(screen, min(second, 12)), seconds=30))
    assert sent[-1][0] in range(14, 19) and len(sent) <= 3


def test_a_noisy_camera_costs_two_frames_a_minute() -> None:
    def room(second: int) -> Planes:
        noise = np.random.default_rng(second).normal(0, 25, (180, 320, 1)).repeat(4, 0).repeat(4, 1)
        return planes_of(Image.fromarray(np.clip(noise + np.array([90, 100, 110]), 0, 255).astype(np.uint8)))

    gate = FrameGate()
    sent = [second for second in range(SECONDS) if gate.offer(room(second), float(second)).keep]
    assert len(sent) <= 2


def test_a_light_that_blinks_slowly_is_described_once_in_each_state() -> None:
    gate = FrameGate()
    on, off = Screen().dot((900, 300), (220, 30, 30), 12).planes(), Screen(LIGHT).planes()
    decisions = [gate.offer(on if second // 4 % 2 else off, float(second)) for second in range(SECONDS)]
    new = [decision for decision in decisions if decision.keep and decision.same_as is None]
    reused = [decision for decision in decisions if decision.keep and decision.same_as is not None]
    assert len(new) == 2 and {decision.same_as for decision in reused} == {1, 2}
