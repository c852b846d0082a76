"""Collects the elements of a screen in points, and scales them to the desktop's pixels."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

from tests.benchmarks.frames.scene import Element, PictureElement, RenderedScene, ShapeElement, Size, TextElement
from tests.benchmarks.frames.themes import Colour, Face, StatusPalette, Theme

Style = Literal["task bar", "menu bar", "top clock", "full screen"]
STYLES: tuple[Style, ...] = ("task bar", "menu bar", "top clock", "full screen")
BAR_PT = 36

_WORDS = (
    "account active agenda answer archive balance before branch budget build cache chapter client cluster column commit"
    " content copy customer data delivery deploy design draft editor error export factor feature field filter figure"
    " forecast garden gateway graph group header history image import index invoice item journal label launch ledger"
    " level license market meeting memory message method metric model module monthly network notes office order owner"
    " package page panel partner payment people period pipeline policy preview price process product profile project"
    " quarter queue range record region release report request result review rollout room route sample schedule"
    " section segment server session signal source status storage summary supply survey system table target team"
    " ticket total traffic travel update usage value version volume weekly window worker"
).split()


def sentence(rng: random.Random, words: int) -> str:
    """Return some words of English."""
    return " ".join(rng.choices(_WORDS, k=words))


def amount(rng: random.Random) -> str:
    """Return a figure as sheets and dashboards show it."""
    return rng.choice(
        (f"{rng.randint(10, 999)}", f"{rng.randint(1, 99)},{rng.randint(100, 999)}", f"{rng.random() * 99:.1f}")
    )


@dataclass(slots=True)
class SceneDraft:
    """The elements drawn so far. All arguments of its methods are in points: pixels at a scaling of 1."""

    rng: random.Random
    theme: Theme
    palette: StatusPalette
    size_px: Size
    scale: float
    style: Style
    elements: list[Element] = field(default_factory=list)

    @property
    def width(self) -> int:
        return int(self.size_px[0] / self.scale)

    @property
    def height(self) -> int:
        """The height above a task bar."""
        return int(self.size_px[1] / self.scale) - (BAR_PT if self.style == "task bar" else 0)

    @property
    def top(self) -> int:
        return BAR_PT if self.style in ("menu bar", "top clock") else 0

    def text(
        self,
        role: str,
        x: float,
        y: float,
        text: str,
        side: float = 14,
        colour: Colour | None = None,
        face: Face = "sans",
    ) -> None:
        at_px = (self._px(x), self._px(y))
        ink = self.theme.ink if colour is None else colour
        self.elements.append(
            TextElement(role=role, at_px=at_px, side_px=self._px(side), text=text, colour=ink, face=face)
        )

    def shape(
        self,
        role: str,
        box: tuple[float, float, float, float],
        fill: Colour | None,
        form: Literal["rectangle", "pill", "ellipse", "slice"] = "rectangle",
        outline: Colour | None = None,
        angles: tuple[int, int] = (0, 360),
    ) -> None:
        left, top, right, bottom = map(self._px, box)
        self.elements.append(
            ShapeElement(
                role=role, box_px=(left, top, right, bottom), fill=fill, outline=outline, form=form, angles=angles
            )
        )

    def picture(self, box: tuple[float, float, float, float]) -> None:
        left, top, right, bottom = map(self._px, box)
        self.elements.append(
            PictureElement(role="picture", box_px=(left, top, right, bottom), seed=self.rng.randrange(10_000))
        )

    def bars(self) -> None:
        """Draw the desktop's bar."""
        if self.style == "task bar":
            self.shape("bar", (0, self.height, self.width, self.height + BAR_PT), self.theme.bar)
            for number in range(5):
                left = 12 + 44 * number
                self.shape("bar", (left, self.height + 8, left + 20, self.height + 28), self.theme.muted)
        elif self.style != "full screen":
            self.shape("bar", (0, 0, self.width, BAR_PT), self.theme.bar)
            self.text("bar", 14, 9, "Files   Edit   View   Help", 13)

    def scene(self, kind: str, squeezed: bool) -> RenderedScene:
        """Return the finished screen."""
        clock_at = {
            "task bar": (self.width - 56, self.height + 10),
            "menu bar": (self.width - 60, 9),
            "top clock": (self.width // 2 - 18, 9),
            "full screen": None,
        }[self.style]
        return RenderedScene(
            kind=kind,
            theme=self.theme,
            palette=self.palette,
            size_px=self.size_px,
            scale=self.scale,
            squeezed=squeezed,
            clock_at_px=None if clock_at is None else (self._px(clock_at[0]), self._px(clock_at[1])),
            elements=tuple(self.elements),
        )

    def _px(self, points: float) -> int:
        return round(points * self.scale)
