"""A scripted screen is deterministic in time, and converts only its changes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from cluster.lab.scenario.synthetic_screens import SCRIPT, I420Converter, Scene, ScreenScript

LUMA = 1280 * 720
SCRIPT_S = 45


def scene_at(script: ScreenScript, t_s: float) -> Scene:
    return script._scene(t_s)[0]


def start_of(script: ScreenScript, scene: Scene) -> float:
    """Return the second at which a scene begins."""
    tenths = (tenth / 10 for tenth in range(SCRIPT_S * 10))
    return next(t for t in tenths if scene_at(script, t) == scene and scene_at(script, t - 0.1) != scene)


def changed_share(before: Image.Image, after: Image.Image) -> float:
    """Return the share of pixels that differ."""
    return float((np.asarray(before) != np.asarray(after)).any(axis=2).mean())


def rgb(planes: bytes, width_px: int, height_px: int) -> npt.NDArray[np.float64]:
    """Return the RGB picture decoded from the planes."""
    flat = np.frombuffer(planes, np.uint8).astype(float)
    luma, chroma = width_px * height_px, width_px * height_px // 4
    y = (flat[:luma].reshape(height_px, width_px) - 16) * 255 / 219
    u, v = (part.reshape(height_px // 2, width_px // 2).repeat(2, 0).repeat(2, 1) for part in np.split(flat[luma:], 2))
    u, v = (u - 128) * 255 / 224, (v - 128) * 255 / 224
    assert len(flat) == luma + 2 * chroma
    return np.stack([y + 1.402 * v, y - 0.344136 * u - 0.714136 * v, y + 1.772 * u], axis=2).clip(0, 255)


def test_a_script_plays_five_scenes_and_repeats() -> None:
    script = ScreenScript(0)
    assert [scene_at(script, t) for t in (1, 15, 24, 33, 40)] == [scene for scene, _ in SCRIPT]
    assert sum(seconds for _, seconds in SCRIPT) == SCRIPT_S
    assert all(scene_at(script, t) == scene_at(script, t + SCRIPT_S) for t in range(SCRIPT_S))


def test_five_seeds_start_with_five_scenes() -> None:
    assert {scene_at(ScreenScript(seed), 0) for seed in range(1, 6)} == {scene for scene, _ in SCRIPT}


def test_a_seed_shows_the_same_picture_in_any_order_of_requests() -> None:
    forwards, backwards = ScreenScript(3), ScreenScript(3)
    planes = {t: forwards.i420(t) for t in range(0, 45, 4)}
    assert all(backwards.i420(t) == planes[t] for t in reversed(planes))


def test_two_seeds_of_one_scene_show_different_text() -> None:
    assert changed_share(ScreenScript(1).draw(0), ScreenScript(6).draw(0)) > 0.005
    assert scene_at(ScreenScript(1), 0) == scene_at(ScreenScript(6), 0)


def test_a_line_is_typed_letter_by_letter_and_then_unchanged() -> None:
    script = ScreenScript(0)
    ink = [int((np.asarray(script.draw(t).convert("L")) < 128).sum()) for t in (0.6, 1.6, 2.6, 3.6)]
    assert ink == sorted(set(ink))
    assert 0 < changed_share(script.draw(1.6), script.draw(2.6)) < 0.01
    assert script.i420(4.6) == script.i420(6.6)


def test_scrolling_moves_the_page_and_not_the_bar() -> None:
    script = ScreenScript(0)
    at_s = start_of(script, "scrolling") + 0.5
    before, after = (np.asarray(script.draw(t)) for t in (at_s, at_s + 2))
    moved_px = 165
    # Below the bar and above the pointer.
    assert (before[40 + moved_px : 500] == after[40 : 500 - moved_px]).all()
    assert (before[:40] == after[:40]).all()
    assert not (before[40:500] == after[40:500]).all()


def test_a_new_slide_changes_much_of_the_screen() -> None:
    script = ScreenScript(0)
    at_s = start_of(script, "slides")
    assert changed_share(script.draw(at_s + 1), script.draw(at_s + 4)) > 0.1


def test_a_moving_pointer_changes_almost_nothing() -> None:
    script = ScreenScript(0)
    at_s = start_of(script, "pointer")
    shares = [changed_share(script.draw(at_s + second), script.draw(at_s + second + 0.2)) for second in range(6)]
    assert 0 < min(shares) and max(shares) < 0.001


def test_an_unchanged_screen_returns_the_same_planes_object() -> None:
    script = ScreenScript(0)
    at_s = start_of(script, "still")
    planes = script.i420(at_s)
    assert all(script.i420(at_s + second) is planes for second in range(1, 6))


def test_an_incremental_conversion_equals_a_full_conversion() -> None:
    script = ScreenScript(2)
    for second in range(45):
        picture = script.draw(second + 0.3)
        assert script.i420(second + 0.3) == I420Converter(picture.size)(picture), scene_at(script, second + 0.3)


def test_the_planes_decode_to_the_drawn_screen() -> None:
    script = ScreenScript(0, 640, 480)
    received, drawn = rgb(script.i420(26), 640, 480), np.asarray(script.draw(26)).astype(float)
    # Chroma has a quarter of the samples, so the edges of coloured areas differ.
    assert np.percentile(np.abs(received - drawn), 95) <= 2.5
    assert len(script.i420(26)) == 640 * 480 * 3 // 2


@pytest.mark.parametrize(
    ("colour", "yuv"), [("white", (235, 128, 128)), ("black", (16, 128, 128)), ("red", (81, 90, 240))]
)
def test_planes_are_limited_range_bt601(colour: str, yuv: tuple[int, int, int]) -> None:
    planes = I420Converter((1280, 720))(Image.new("RGB", (1280, 720), colour))
    assert (planes[0], planes[LUMA], planes[LUMA * 5 // 4]) == yuv


def test_a_change_of_one_pixel_updates_its_whole_chroma_sample() -> None:
    convert = I420Converter((1280, 720))
    picture = Image.new("RGB", (1280, 720), "white")
    convert(picture)
    dotted = picture.copy()
    dotted.putpixel((1279, 719), (0, 0, 0))
    assert convert(dotted) == I420Converter((1280, 720))(dotted)


@pytest.mark.parametrize("size", [(1281, 720), (1280, 721), (320, 240)])
def test_a_screen_with_odd_or_small_sides_is_rejected(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="even sides"):
        ScreenScript(0, *size)
