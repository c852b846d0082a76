"""The recorded screens hold the output of the room agent's own gate and encoder, and are recorded once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from cluster.lab.scenario.arrivals import TAKES
from cluster.lab.scenario.recorded_screens import LAP_S, SCREEN_PX, RecordedScreens, draw_takes, script_of, takes_of
from cluster.lab.scenario.scenario import RoomBehaviour
from cluster.lab.scenario.synthetic_screens import ScreenScript
from deployments.api.schemas import parse_frame_headers
from room_agent.frames.i420 import Planes
from room_agent.video.frame_gate import FrameGate

# Slides that rarely change are drawn quickly.
CALM = RoomBehaviour(frames_per_second=0.2, screens={"slides": 1, "still": 1})


@pytest.fixture(scope="module")
def takes() -> RecordedScreens:
    return draw_takes(CALM)


def test_a_take_keeps_the_frames_that_the_gate_keeps(takes: RecordedScreens) -> None:
    screen, gate = ScreenScript(3, *SCREEN_PX, script_of(CALM.screens)), FrameGate()
    lap = [Planes.from_i420(screen.i420(number * 5.0), *SCREEN_PX) for number in range(takes.samples)]
    # The second lap is compared: in the first one there was no earlier frame.
    decisions = [gate.offer(planes, number * 5.0) for number, planes in enumerate(lap + lap)][takes.samples :]
    assert [decision.keep for decision in decisions] == takes.kept[3].tolist()
    assert [decision.why for decision in decisions] == [takes.reasons[why] for why in takes.why[3]]
    assert 0 < takes.kept[3].sum() < takes.samples


def test_a_repeat_refers_to_the_last_kept_frame_across_laps(takes: RecordedScreens) -> None:
    for take in range(TAKES):
        expected = takes.frame[take, takes.kept[take]][-1]
        for sample in range(takes.samples):
            if takes.kept[take, sample]:
                expected = takes.frame[take, sample]
            assert takes.frame[take, sample] == expected
    assert sorted(takes.frame[takes.kept]) == list(range(len(takes.jpegs)))


def test_the_router_accepts_the_recorded_headers_and_frames(takes: RecordedScreens) -> None:
    headers = parse_frame_headers(takes.headers(0, 12.5))
    assert headers.captured_at == 12.5
    assert headers.features().text_density == pytest.approx(takes.features(0).text_density)
    assert [len(jpeg) for jpeg in takes.jpegs] == takes.size_bytes.tolist()
    assert set(zip(takes.width_px, takes.height_px, strict=True)) == {(1_024, 576)}


def test_the_mix_sets_the_length_of_each_scene() -> None:
    script = script_of({"typing": 3, "scrolling": 0, "slides": 0, "pointer": 0, "still": 1})
    assert script == (("typing", 0.75 * LAP_S), ("still", 0.25 * LAP_S))
    screen = ScreenScript(0, script=script)
    assert [screen.scene_at(t) for t in (0, 44.9, 45, 59.9, 60)] == ["typing", "typing", "still", "still", "typing"]


def test_an_unchanged_screen_has_one_frame() -> None:
    still = draw_takes(RoomBehaviour(frames_per_second=0.1, screens={"still": 1}))
    assert still.kept.sum(axis=1).tolist() == [1] * TAKES
    assert (still.frame == np.arange(TAKES)[:, None]).all()


def test_a_room_starts_at_its_own_second_and_repeats_its_take(takes: RecordedScreens) -> None:
    assert [takes.sample(starts_at=10, number=number) for number in (0, 1, takes.samples)] == [2, 3, 2]
    assert takes.sample(starts_at=3_599, number=0) == 0


def test_takes_are_recorded_once_and_read_from_the_cache(tmp_path: Path, takes: RecordedScreens) -> None:
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: takes_of(CALM, tmp_path), range(3)))
    (file,) = tmp_path.iterdir()
    written_ns = file.stat().st_mtime_ns
    cached = takes_of(CALM, tmp_path)
    assert file.stat().st_mtime_ns == written_ns
    for result in (*results, cached):
        assert result.jpegs == takes.jpegs and result.reasons == takes.reasons and result.phash == takes.phash
        assert (result.frame == takes.frame).all() and (result.why == takes.why).all()


def test_a_truncated_cache_file_is_recorded_again(tmp_path: Path, takes: RecordedScreens) -> None:
    takes_of(CALM, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    assert takes_of(CALM, tmp_path).jpegs == takes.jpegs


def test_another_mix_or_rate_has_its_own_cache_file(tmp_path: Path) -> None:
    takes_of(CALM, tmp_path)
    takes_of(RoomBehaviour(frames_per_second=0.1, screens=CALM.screens), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
