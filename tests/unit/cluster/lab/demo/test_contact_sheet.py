"""A contact sheet shows the kept frames and their cost, to the nano-dollar, and marks simulated ones."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from cluster.lab.demo.contact_sheet import SIMULATED, SheetFrame, caption, header, write_sheet


def jpeg(colour: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (768, 432), colour).save(out, "JPEG")
    return out.getvalue()


FRAME = SheetFrame(
    jpeg=jpeg((200, 30, 30)),
    at_s=72.44,
    why="scene changed",
    tier="fast",
    model="openai/gpt-mini",
    cost_nanousd=412_000,
    answer_ms=812.3,
)


def sheet(path: Path, frames: list[SheetFrame]) -> Image.Image:
    write_sheet(path / "room.png", "tenant_acme_demo-1", frames)
    with Image.open(path / "room.png", formats=["PNG"]) as image:
        image.load()
        return image


def test_a_caption_tells_when_why_who_and_the_exact_cost() -> None:
    assert caption(FRAME) == ("01:12.4 scene changed", "openai/gpt-mini", "tier fast", "$0.000412 after 812 ms")


@pytest.mark.parametrize(
    ("nanousd", "shown"),
    [(1, "$0.000000001"), (412_000, "$0.000412"), (0, "$0.00"), (1_500_000_000, "$1.50"), (20_000_000_000, "$20.00")],
)
def test_a_cost_is_shown_exactly(nanousd: int, shown: str) -> None:
    assert caption(replace(FRAME, cost_nanousd=nanousd, answer_ms=None))[-1] == shown


def test_a_cost_that_is_unknown_is_not_zero() -> None:
    unknown = replace(FRAME, cost_nanousd=None)
    assert caption(unknown)[-1] == "cost unknown after 812 ms"
    assert (
        header("room", [FRAME, unknown])[1]
        == "2 frames kept, $0.000412 in total, 1 of unknown cost, median answer 812 ms"
    )


def test_simulated_models_are_called_that() -> None:
    assert SIMULATED not in header("room", [FRAME])
    assert SIMULATED in header("room", [FRAME, replace(FRAME, model="simulated/vision-fast")])


def test_the_frames_stand_in_a_grid_below_the_header(tmp_path: Path) -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30), (30, 200, 200)]
    image = sheet(tmp_path, [replace(FRAME, jpeg=jpeg(colour)) for colour in colours])
    seen = dict.fromkeys(
        image.getpixel((x_px, y_px)) for y_px in range(150, image.height, 250) for x_px in range(172, image.width, 332)
    )
    for colour in colours:
        assert any(
            isinstance(pixel, tuple) and max(abs(a - b) for a, b in zip(pixel, colour, strict=True)) < 6
            for pixel in seen
        )


def test_a_room_in_which_nothing_was_kept_has_a_sheet_that_says_so(tmp_path: Path) -> None:
    assert header("room", [])[1] == "no frame was kept"
    assert sheet(tmp_path, []).height < 100


def test_four_hundred_frames_are_counted_and_sixty_are_drawn(tmp_path: Path) -> None:
    frames = [FRAME] * 400
    assert header("room", frames)[1].startswith("400 frames kept, $0.1648 in total")
    assert header("room", frames)[-1] == "the first 60 are drawn; 340 more are not"
    assert sheet(tmp_path, frames).height == sheet(tmp_path, [FRAME] * 61).height


def test_a_frame_that_cannot_be_read_does_not_spoil_the_sheet(tmp_path: Path) -> None:
    broken = [replace(FRAME, jpeg=b"not a jpeg"), replace(FRAME, jpeg=FRAME.jpeg[:200]), FRAME]
    assert sheet(tmp_path, broken).size == sheet(tmp_path, [FRAME] * 3).size


def test_a_text_wider_than_its_column_is_cut(tmp_path: Path) -> None:
    wide = replace(FRAME, why="a reason\nof many words " * 40, model="vendor/" + "m" * 400)
    assert sheet(tmp_path, [wide]).width == sheet(tmp_path, [FRAME]).width
