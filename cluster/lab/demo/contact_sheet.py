"""Draw a contact sheet: the kept frames of one room, with their time, reason and cost."""

from __future__ import annotations

import io
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from routing.billing.money import dollars

MAX_DRAWN = 60
COLUMNS = 4
THUMBNAIL_PX = (320, 180)
GAP_PX = 12
LINE_PX = 17
CAPTION_LINES = 4
HEADER_LINE_PX = 24
SIMULATED = "SIMULATED MODELS: these answers and costs are not real"

_PAPER, _INK, _GREY, _WARNING = (246, 246, 244), (28, 28, 30), (96, 96, 102), (176, 32, 24)
_CELL_PX = (THUMBNAIL_PX[0], THUMBNAIL_PX[1] + CAPTION_LINES * LINE_PX + 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetFrame:
    """One kept frame and its answer; None is unknown, never zero."""

    jpeg: bytes
    at_s: float
    """Since the room opened."""
    why: str
    tier: str
    model: str
    cost_nanousd: int | None
    answer_ms: float | None


def write_sheet(path: Path, title: str, frames: Sequence[SheetFrame]) -> None:
    """Write one PNG with a thumbnail and a caption for each of the first 60 frames; raises OSError."""
    shown = frames[:MAX_DRAWN]
    lines = header(title, frames)
    rows = -(-len(shown) // COLUMNS)
    top_px = GAP_PX + len(lines) * HEADER_LINE_PX + GAP_PX
    width_px = GAP_PX + COLUMNS * (_CELL_PX[0] + GAP_PX)
    sheet = Image.new("RGB", (width_px, top_px + rows * (_CELL_PX[1] + GAP_PX)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for line, text in enumerate(lines):
        colour = _WARNING if text == SIMULATED else _GREY if line else _INK
        _write(draw, (GAP_PX, GAP_PX + line * HEADER_LINE_PX), text, 15 if line else 20, colour, width_px - 2 * GAP_PX)
    for number, frame in enumerate(shown):
        row, column = divmod(number, COLUMNS)
        at_px = (GAP_PX + column * (_CELL_PX[0] + GAP_PX), top_px + row * (_CELL_PX[1] + GAP_PX))
        _draw_frame(sheet, draw, at_px, frame)
    sheet.save(path, "PNG")


def header(title: str, frames: Sequence[SheetFrame]) -> list[str]:
    """Return the sheet's first lines: the title, the totals and their limits."""
    lines = [title, _totals(frames)]
    if any(frame.model.startswith("simulated/") for frame in frames):
        lines.append(SIMULATED)
    if len(frames) > MAX_DRAWN:
        lines.append(f"the first {MAX_DRAWN} are drawn; {len(frames) - MAX_DRAWN} more are not")
    return lines


def caption(frame: SheetFrame) -> tuple[str, ...]:
    """Return the lines below a frame: time and reason, the model, its tier, the cost and the wait."""
    minutes, seconds = divmod(round(max(frame.at_s, 0.0), 1), 60)
    cost = "cost unknown" if frame.cost_nanousd is None else _dollars(frame.cost_nanousd)
    wait = "" if frame.answer_ms is None else f" after {frame.answer_ms:.0f} ms"
    return f"{minutes:02.0f}:{seconds:04.1f} {frame.why}", frame.model, f"tier {frame.tier}", cost + wait


def _totals(frames: Sequence[SheetFrame]) -> str:
    if not frames:
        return "no frame was kept"
    costs = [frame.cost_nanousd for frame in frames if frame.cost_nanousd is not None]
    waits_ms = [frame.answer_ms for frame in frames if frame.answer_ms is not None]
    parts = [f"{len(frames)} frames kept", f"{_dollars(sum(costs))} in total"]
    if len(costs) < len(frames):
        parts.append(f"{len(frames) - len(costs)} of unknown cost")
    if waits_ms:
        parts.append(f"median answer {statistics.median(waits_ms):.0f} ms")
    return ", ".join(parts)


def _draw_frame(sheet: Image.Image, draw: ImageDraw.ImageDraw, at_px: tuple[int, int], frame: SheetFrame) -> None:
    x_px, y_px = at_px
    width_px, height_px = THUMBNAIL_PX
    draw.rectangle(
        (x_px - 1, y_px - 1, x_px + width_px, y_px + height_px), fill=(226, 226, 224), outline=(200, 200, 198)
    )
    preview = thumbnail(frame.jpeg)
    if preview is None:
        _write(draw, (x_px + 8, y_px + 8), "this frame cannot be read", 13, _WARNING, width_px)
    else:
        sheet.paste(preview, (x_px + (width_px - preview.width) // 2, y_px + (height_px - preview.height) // 2))
    for line, text in enumerate(caption(frame)):
        _write(draw, (x_px, y_px + height_px + 5 + line * LINE_PX), text, 13, _GREY if line else _INK, width_px)


def thumbnail(jpeg: bytes) -> Image.Image | None:
    """Return a thumbnail of a frame, or None if it cannot be decoded."""
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
            # Decodes at an eighth to a half of the size, if that is still larger than the thumbnail.
            image.draft("RGB", THUMBNAIL_PX)
            image.thumbnail(THUMBNAIL_PX)
            return image.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def _dollars(nanousd: int) -> str:
    """Return an exact amount without trailing zeros, except those of the cents."""
    return re.sub(r"(\.\d\d\d*?)0+$", r"\1", dollars(nanousd))


def _write(
    draw: ImageDraw.ImageDraw,
    at_px: tuple[int, int],
    text: str,
    side_px: int,
    colour: tuple[int, int, int],
    max_width_px: int,
) -> None:
    """Write one line, cut to `max_width_px`."""
    font = _font(side_px)
    text = " ".join(text.split())
    if draw.textlength(text, font) > max_width_px:
        widths_px = (draw.textlength(f"{text[:letters]}...", font) for letters in range(1, len(text)))
        text = f"{text[: sum(1 for _ in takewhile(lambda width_px: width_px <= max_width_px, widths_px))]}..."
    draw.text(at_px, text, fill=colour, font=font)


@cache
def _font(side_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(side_px)
