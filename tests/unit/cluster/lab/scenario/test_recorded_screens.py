"""The recorded screens hold the output of the room agent's own gate and encoder, and are recorded once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from cluster.lab.scenario.arrivals import RECORDINGS
from cluster.lab.scenario.recorded_screens import (
    LOOP_S,
    SCREEN_PX,
    RecordedScreens,
    load_recordings,
    record_screens,
    script_of,
)
from cluster.lab.scenario.scenario import RoomBehaviour
from cluster.lab.scenario.synthetic_screens import ScreenScript
from deployments.api.frame_schemas import parse_frame_headers
from room_agent.frames.i420 import Planes
from room_agent.video.frame_gate import FrameGate

# Slides that rarely change are drawn quickly.
CALM = RoomBehaviour(frames_per_second=0.2, screens={"slides": 1, "still": 1})
STILL = RoomBehaviour(frames_per_second=0.1, screens={"still": 1})


@pytest.fixture(scope="module")
def recordings() -> RecordedScreens:
    return record_screens(CALM)


def test_a_recording_keeps_the_frames_that_the_gate_keeps(recordings: RecordedScreens) -> None:
    screen, gate = ScreenScript(3, *SCREEN_PX, script_of(CALM.screens)), FrameGate(reuse=False)
    loop = [Planes.from_i420(screen.i420(number * 5.0), *SCREEN_PX) for number in range(recordings.samples)]
    # The second loop is compared, because the first one starts without an earlier frame.
    decisions = [gate.offer(planes, number * 5.0) for number, planes in enumerate(loop + loop)][recordings.samples :]
    assert [decision.keep for decision in decisions] == recordings.kept[3].tolist()
    assert [decision.why for decision in decisions] == [recordings.reasons[why] for why in recordings.why[3]]
    assert 0 < recordings.kept[3].sum() < recordings.samples


def test_a_repeat_refers_to_the_last_kept_frame_across_loops(recordings: RecordedScreens) -> None:
    for recording in range(RECORDINGS):
        expected = recordings.frame[recording, recordings.kept[recording]][-1]
        for sample in range(recordings.samples):
            if recordings.kept[recording, sample]:
                expected = recordings.frame[recording, sample]
            assert recordings.frame[recording, sample] == expected
    assert sorted(recordings.frame[recordings.kept]) == list(range(len(recordings.jpegs)))


def test_the_router_accepts_the_recorded_headers_and_frames(recordings: RecordedScreens) -> None:
    headers = parse_frame_headers(recordings.headers(0, 12.5))
    assert headers.captured_at == 12.5
    assert headers.features().text_density == pytest.approx(recordings.features(0).text_density)
    assert [len(jpeg) for jpeg in recordings.jpegs] == recordings.size_bytes.tolist()
    assert set(zip(recordings.width_px, recordings.height_px, strict=True)) == {(1_024, 576)}


def test_the_mix_sets_the_length_of_each_scene() -> None:
    script = script_of({"typing": 3, "scrolling": 0, "slides": 0, "pointer": 0, "still": 1})
    assert script == (("typing", 0.75 * LOOP_S), ("still", 0.25 * LOOP_S))
    screen = ScreenScript(0, script=script)
    assert [screen._scene(t)[0] for t in (0, 44.9, 45, 59.9, 60)] == ["typing", "typing", "still", "still", "typing"]


def test_an_unchanged_screen_has_one_frame() -> None:
    still = record_screens(STILL)
    assert still.kept.sum(axis=1).tolist() == [1] * RECORDINGS
    assert (still.frame == np.arange(RECORDINGS)[:, None]).all()


def test_a_room_starts_at_its_own_second_and_repeats_its_recording(recordings: RecordedScreens) -> None:
    assert [recordings.sample(starts_at=10, number=number) for number in (0, 1, recordings.samples)] == [2, 3, 2]
    assert recordings.sample(starts_at=3_599, number=0) == 0


def test_screens_are_recorded_once_and_read_from_the_cache(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        recordings, *results = pool.map(lambda _: load_recordings(STILL, tmp_path), range(3))
    (file,) = tmp_path.iterdir()
    written_ns = file.stat().st_mtime_ns
    cached = load_recordings(STILL, tmp_path)
    assert file.stat().st_mtime_ns == written_ns
    for result in (*results, cached):
        assert (
            result.jpegs == recordings.jpegs
            and result.reasons == recordings.reasons
            and result.phash == recordings.phash
        )
        assert (result.frame == recordings.frame).all() and (result.why == recordings.why).all()


def test_a_truncated_cache_file_is_recorded_again(tmp_path: Path) -> None:
    recordings = load_recordings(STILL, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    assert load_recordings(STILL, tmp_path).jpegs == recordings.jpegs


def test_another_mix_or_rate_has_its_own_cache_file(tmp_path: Path) -> None:
    load_recordings(STILL, tmp_path)
    load_recordings(RoomBehaviour(frames_per_second=0.05, screens=STILL.screens), tmp_path)
    load_recordings(RoomBehaviour(frames_per_second=0.1, screens={"pointer": 1}), tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
