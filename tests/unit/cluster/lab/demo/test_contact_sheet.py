"""A contact sheet shows the kept frames and their cost, to the nano-dollar, and marks simulated ones."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from cluster.lab.demo.contact_sheet import SIMULATED, SheetFrame, caption, header, write_sheet


def jpeg(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (768, 432), colour).save(buffer, "JPEG")
    return buffer.getvalue()


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


def test_a_caption_shows_time_reason_model_tier_and_exact_cost() -> None:
    assert caption(FRAME) == ("01:12.4 scene changed", "openai/gpt-mini", "tier fast", "$0.000412 after 812 ms")


@pytest.mark.parametrize(
    ("nanousd", "text"),
    [(1, "$0.000000001"), (412_000, "$0.000412"), (0, "$0.00"), (1_500_000_000, "$1.50"), (20_000_000_000, "$20.00")],
)
def test_a_cost_is_shown_exactly(nanousd: int, text: str) -> None:
    assert caption(replace(FRAME, cost_nanousd=nanousd, answer_ms=None))[-1] == text


def test_an_unknown_cost_is_not_zero() -> None:
    unknown = replace(FRAME, cost_nanousd=None)
    assert caption(unknown)[-1] == "cost unknown after 812 ms"
    assert (
        header("room", [FRAME, unknown])[1]
        == "2 frames kept, $0.000412 in total, 1 of unknown cost, median answer 812 ms"
    )


def test_the_header_marks_simulated_models() -> None:
    assert SIMULATED not in header("room", [FRAME])
    assert SIMULATED in header("room", [FRAME, replace(FRAME, model="simulated/vision-fast")])


def test_the_frames_are_drawn_in_a_grid_below_the_header(tmp_path: Path) -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30), (30, 200, 200)]
    image = sheet(tmp_path, [replace(FRAME, jpeg=jpeg(colour)) for colour in colours])
    colours_drawn = dict.fromkeys(
        image.getpixel((x_px, y_px)) for y_px in range(150, image.height, 250) for x_px in range(172, image.width, 332)
    )
    for colour in colours:
        assert any(
            isinstance(pixel, tuple)
            and max(abs(drawn - expected) for drawn, expected in zip(pixel, colour, strict=True)) < 6
            for pixel in colours_drawn
        )


def test_the_sheet_of_a_room_without_frames_states_it(tmp_path: Path) -> None:
    assert header("room", [])[1] == "no frame was kept"
    assert sheet(tmp_path, []).height < 100


def test_the_sheet_counts_all_frames_and_draws_the_first_sixty(tmp_path: Path) -> None:
    frames = [FRAME] * 400
    assert header("room", frames)[1].startswith("400 frames kept, $0.1648 in total")
    assert header("room", frames)[-1] == "the first 60 are drawn; 340 more are not"
    assert sheet(tmp_path, frames).height == sheet(tmp_path, [FRAME] * 61).height


def test_an_unreadable_frame_keeps_the_layout_of_the_sheet(tmp_path: Path) -> None:
    broken = [replace(FRAME, jpeg=b"not a jpeg"), replace(FRAME, jpeg=FRAME.jpeg[:200]), FRAME]
    assert sheet(tmp_path, broken).size == sheet(tmp_path, [FRAME] * 3).size


def test_a_text_wider_than_its_column_is_truncated(tmp_path: Path) -> None:
    frame = replace(FRAME, why="a reason\nof many words " * 40, model="vendor/" + "m" * 400)
    assert sheet(tmp_path, [frame]).width == sheet(tmp_path, [FRAME]).width
