"""A rendered screen whose every text and shape is known: its elements, its pointer, its caret and its clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import av
import numpy as np
from PIL import Image, ImageDraw

from room_agent.frames.i420 import Planes
from tests.benchmarks.frames.themes import Colour, Face, StatusPalette, Theme, font
from tests.support.screens import planes_of

Box = tuple[int, int, int, int]
Size = tuple[int, int]
PointerShape = Literal["arrow", "hand", "beam"]

_OUTLINES: dict[PointerShape, tuple[tuple[int, int], ...]] = {
    "arrow": ((0, 0), (0, 17), (4, 13), (7, 19), (10, 18), (7, 12), (12, 12)),
    "hand": ((4, 0), (7, 0), (7, 7), (14, 9), (14, 16), (11, 20), (5, 20), (0, 12), (2, 10), (4, 12)),
    "beam": ((0, 0), (7, 0), (7, 2), (4, 3), (4, 16), (7, 17), (7, 19), (0, 19), (0, 17), (3, 16), (3, 3), (0, 2)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TextElement:
    """A line of text; `at_px` is its upper left corner. `role` says which edits apply to it."""

    role: str
    at_px: tuple[int, int]
    side_px: int
    text: str
    colour: Colour
    face: Face = "sans"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeElement:
    """A filled shape. A pie slice spans `angles`, in degrees clockwise from the right."""

    role: str
    box_px: Box
    fill: Colour | None
    outline: Colour | None = None
    form: Literal["rectangle", "pill", "ellipse", "slice"] = "rectangle"
    angles: tuple[int, int] = (0, 360)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureElement:
    """A photograph-like picture, drawn from a seed."""

    role: str
    box_px: Box
    seed: int


Element = TextElement | ShapeElement | PictureElement


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """The parts of a screen that are no content. Points are upper left corners in pixels."""

    pointer_px: tuple[int, int] | None = None
    pointer_shape: PointerShape = "arrow"
    caret_px: tuple[int, int] | None = None
    clock: str = "10:41"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedScene:
    """A screen of one kind. Two scenes show the same content where their `elements` are equal.

    `scale` is the desktop's scaling. A `squeezed` scene is drawn a third larger and shrunk, as a share of a larger
    desktop is.
    """

    kind: str
    theme: Theme
    palette: StatusPalette
    size_px: Size
    scale: float
    squeezed: bool
    clock_at_px: tuple[int, int] | None
    elements: tuple[Element, ...]
    overlay: Overlay = Overlay()

    def with_overlay(self, **changes: object) -> RenderedScene:
        """Return this scene with another pointer, caret or clock."""
        return replace(self, overlay=replace(self.overlay, **changes))  # type: ignore[arg-type]

    def with_elements(self, elements: tuple[Element, ...]) -> RenderedScene:
        return replace(self, elements=elements)

    def replaced(self, old: Element, new: Element | None) -> RenderedScene:
        """Return this scene with one element replaced, or removed."""
        kept = ([new] if element is old and new else [] if element is old else [element] for element in self.elements)
        return self.with_elements(tuple(element for group in kept for element in group))

    def texts(self, *roles: str) -> list[TextElement]:
        """Return the texts of the roles in drawing order."""
        return [element for element in self.elements if isinstance(element, TextElement) and element.role in roles]

    def shapes(self, *roles: str) -> list[ShapeElement]:
        """Return the shapes of the roles in drawing order."""
        return [element for element in self.elements if isinstance(element, ShapeElement) and element.role in roles]

    def image(self) -> Image.Image:
        """Return the screen as an RGB picture."""
        image = _drawn(self.theme.paper, self.size_px, self.elements).copy()
        draw = ImageDraw.Draw(image)
        overlay, unit = self.overlay, self.scale
        if self.clock_at_px is not None:
            draw.text(self.clock_at_px, overlay.clock, fill=self.theme.ink, font=font("sans", round(13 * unit)))
        if overlay.caret_px is not None:
            left, top = overlay.caret_px
            draw.rectangle((left, top, left + max(round(unit), 1), top + round(17 * unit)), fill=self.theme.ink)
        if overlay.pointer_px is not None:
            left, top = overlay.pointer_px
            outline = [(left + x * unit, top + y * unit) for x, y in _OUTLINES[overlay.pointer_shape]]
            draw.polygon(outline, fill=(0, 0, 0), outline=(255, 255, 255))
        if not self.squeezed:
            return image
        return image.resize((image.width * 3 // 4, image.height * 3 // 4), Image.Resampling.LANCZOS)

    def planes(self) -> Planes:
        """Return the screen as limited range I420, in memory of its own."""
        return to_planes(self.image())


def to_planes(image: Image.Image) -> Planes:
    """Return an RGB picture as limited range BT.601 I420."""
    width_px, height_px = image.size
    if width_px % 2 or height_px % 2:
        return planes_of(image)
    frame = av.VideoFrame.from_ndarray(np.asarray(image), "rgb24").reformat(format="yuv420p", interpolation="AREA")
    return Planes.from_i420(np.ascontiguousarray(frame.to_ndarray()).tobytes(), width_px, height_px)


@lru_cache(maxsize=12)
def _drawn(paper: Colour, size_px: Size, elements: tuple[Element, ...]) -> Image.Image:
    image = Image.new("RGB", size_px, paper)
    draw = ImageDraw.Draw(image)
    for element in elements:
        if isinstance(element, TextElement):
            draw.text(element.at_px, element.text, fill=element.colour, font=font(element.face, element.side_px))
        elif isinstance(element, PictureElement):
            left, top, right, bottom = element.box_px
            image.paste(photograph((right - left, bottom - top), element.seed), (left, top))
        else:
            _draw_shape(draw, element)
    return image


def _draw_shape(draw: ImageDraw.ImageDraw, shape: ShapeElement) -> None:
    if shape.form == "ellipse":
        draw.ellipse(shape.box_px, fill=shape.fill, outline=shape.outline)
    elif shape.form == "slice":
        draw.pieslice(shape.box_px, *shape.angles, fill=shape.fill, outline=shape.outline)
    elif shape.form == "pill":
        radius = (shape.box_px[3] - shape.box_px[1]) // 2
        draw.rounded_rectangle(shape.box_px, radius, fill=shape.fill, outline=shape.outline)
    else:
        draw.rectangle(shape.box_px, fill=shape.fill, outline=shape.outline)


@lru_cache(maxsize=32)
def photograph(size_px: Size, seed: int) -> Image.Image:
    """Return a smooth picture with some texture and no text."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(30, 225, (7, 12, 3), dtype=np.uint8)).resize(
        size_px, Image.Resampling.BICUBIC
    )
    grain = rng.normal(0, 4, (size_px[1], size_px[0], 1))
    return Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8))
