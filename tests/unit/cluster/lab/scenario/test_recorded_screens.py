"""The recorded screens hold the output of the room agent's own gate and encoder, and are drawn once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from cluster.lab.scenario.arrivals import TAKES
from cluster.lab.scenario.recorded_screens import LAP_S, SCREEN_PX, RecordedScreens, draw_takes, script_of, takes_of
from cluster.lab.scenario.scenario import RoomBehaviour
from cluster.lab.scenario.synthetic_screens import ScreenScript
from deployments.api.frame_schemas import parse_frame_headers
from room_agent.frames.i420 import Planes
from room_agent.video.frame_gate import FrameGate

# Slides that rest for minutes are drawn in a moment.
CALM = RoomBehaviour(frames_per_second=0.2, screens={"slides": 1, "still": 1})


@pytest.fixture(scope="module")
def takes() -> RecordedScreens:
    return draw_takes(CALM)


def test_a_take_keeps_what_the_gate_keeps(takes: RecordedScreens) -> None:
    screen, judge = ScreenScript(3, *SCREEN_PX, script_of(CALM.screens)), FrameGate()
    lap = [Planes.from_i420(screen.i420(number * 5.0), *SCREEN_PX) for number in range(takes.samples)]
    # The second lap is compared: on the first one nothing was seen before.
    decisions = [judge.offer(planes, number * 5.0) for number, planes in enumerate(lap + lap)][takes.samples :]
    assert [one.keep for one in decisions] == takes.kept[3].tolist()
    assert [one.why for one in decisions] == [takes.reasons[why] for why in takes.why[3]]
    assert 0 < takes.kept[3].sum() < takes.samples


def test_a_repeat_is_shown_by_the_frame_kept_last_around_the_end_of_the_lap(takes: RecordedScreens) -> None:
    for take in range(TAKES):
        expected = takes.frame[take, takes.kept[take]][-1]
        for sample in range(takes.samples):
            if takes.kept[take, sample]:
                expected = takes.frame[take, sample]
            assert takes.frame[take, sample] == expected
    assert sorted(takes.frame[takes.kept]) == list(range(len(takes.jpegs)))


def test_what_is_sent_is_what_the_router_takes(takes: RecordedScreens) -> None:
    headers = parse_frame_headers(takes.headers(0, 12.5))
    assert headers.captured_at == 12.5
    assert headers.features().text_density == pytest.approx(takes.features(0).text_density)
    assert [len(jpeg) for jpeg in takes.jpegs] == takes.size_bytes.tolist()
    assert set(zip(takes.width_px, takes.height_px, strict=True)) == {(1_024, 576)}


def test_the_mix_sets_how_long_each_scene_lasts() -> None:
    script = script_of({"typing": 3, "scrolling": 0, "slides": 0, "pointer": 0, "still": 1})
    assert script == (("typing", 0.75 * LAP_S), ("still", 0.25 * LAP_S))
    screen = ScreenScript(0, script=script)
    assert [screen.scene_at(t) for t in (0, 44.9, 45, 59.9, 60)] == ["typing", "typing", "still", "still", "typing"]


def test_a_screen_on_which_nothing_changes_has_one_frame_to_show() -> None:
    still = draw_takes(RoomBehaviour(frames_per_second=0.1, screens={"still": 1}))
    assert still.kept.sum(axis=1).tolist() == [1] * TAKES
    assert (still.frame == np.arange(TAKES)[:, None]).all()


def test_a_room_begins_at_its_own_second_and_sees_its_take_again(takes: RecordedScreens) -> None:
    assert [takes.sample(starts_at=10, number=number) for number in (0, 1, takes.samples)] == [2, 3, 2]
    assert takes.sample(starts_at=3_599, number=0) == 0


def test_takes_are_drawn_once_and_read_as_they_were_written(tmp_path: Path, takes: RecordedScreens) -> None:
    with ThreadPoolExecutor(3) as pool:
        drawn = list(pool.map(lambda _: takes_of(CALM, tmp_path), range(3)))
    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    read = takes_of(CALM, tmp_path)
    assert file.stat().st_mtime_ns == written
    for one in (*drawn, read):
        assert one.jpegs == takes.jpegs and one.reasons == takes.reasons and one.phash == takes.phash
        assert (one.frame == takes.frame).all() and (one.why == takes.why).all()


def test_a_file_that_was_cut_short_is_drawn_anew(tmp_path: Path, takes: RecordedScreens) -> None:
    takes_of(CALM, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    assert takes_of(CALM, tmp_path).jpegs == takes.jpegs


def test_another_mix_or_rate_has_takes_of_its_own(tmp_path: Path) -> None:
    takes_of(CALM, tmp_path)
    takes_of(RoomBehaviour(frames_per_second=0.1, screens=CALM.screens), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
