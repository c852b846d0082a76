"""Define the report's colours, on white and on near-black. Readers who confuse red and green can tell them apart."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Colour:
    """One colour: its name in the style sheet, and its values in light and dark mode. Charts use the light one."""

    name: str
    light: str
    dark: str


PAPER = Colour("paper", "#ffffff", "#14171b")
PANEL = Colour("panel", "#f5f6f7", "#1d2126")
INK = Colour("ink", "#1a1d21", "#e9ecef")
QUIET = Colour("quiet", "#555c64", "#a9b1ba")
RULE = Colour("rule", "#dfe3e6", "#31373e")
BLUE = Colour("blue", "#0a5ea8", "#79b7f3")
ORANGE = Colour("orange", "#b0420c", "#f4a26c")
TEAL = Colour("teal", "#046b5b", "#5ecbb2")
PURPLE = Colour("purple", "#7a3d99", "#d0a5e6")
GREY = Colour("grey", "#5b636b", "#a4adb6")
# Fills are large, so they are paler than lines and carry no text.
PALE_GREY = Colour("pale-grey", "#c5cbd1", "#454d55")
PALE_BLUE = Colour("pale-blue", "#6aa6dc", "#2f71ad")
BADGE = Colour("badge", "#fff0cc", "#3d2f0b")
BADGE_INK = Colour("badge-ink", "#6a4700", "#ffd778")

COLOURS = (PAPER, PANEL, INK, QUIET, RULE, BLUE, ORANGE, TEAL, PURPLE, GREY, PALE_GREY, PALE_BLUE, BADGE, BADGE_INK)
LINES = (BLUE, ORANGE, TEAL, PURPLE, GREY)
"""The colours of lines without a colour of their own, in this order."""


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours `#rrggbb`, by WCAG 2: 1 to 21."""
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)
