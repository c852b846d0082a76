"""The edits of a screen, by kind: each returns the screen after it, or None where the screen has nothing to edit."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from tests.benchmarks.frames.draft import amount, sentence
from tests.benchmarks.frames.layouts import LAYOUTS, another_page
from tests.benchmarks.frames.scene import PictureElement, RenderedScene, ShapeElement, TextElement

SceneEdit = Callable[[RenderedScene, random.Random], RenderedScene | None]

_PROSE = ("line", "message", "comment")
_MOST_LINE_PX = 0.94


def line_added(scene: RenderedScene, rng: random.Random) -> RenderedScene | None:
    """Add a line below the last one, where one fits."""
    lines = scene.texts("line", "message")
    if len(lines) < 2:
        return None
    last, step_px = lines[-1], lines[-1].at_px[1] - lines[-2].at_px[1]
    below_px = last.at_px[1] + step_px
    if step_px <= 0 or below_px + step_px > scene.size_px[1] * _MOST_LINE_PX:
        return None
    added = replace(last, text=sentence(rng, rng.randint(2, 5)), at_px=(lines[0].at_px[0], below_px))
    return scene.with_elements((*scene.elements, added))


def line_deleted(scene: RenderedScene, rng: random.Random) -> RenderedScene | None:
    """Delete a line; those below it move up."""
    lines = scene.texts("line")
    if len(lines) < 4:
        return None
    gone = rng.randrange(len(lines) - 1)
    after = scene.replaced(lines[gone], None)
    for above, line in zip(lines[gone:], lines[gone + 1 :], strict=False):
        after = after.replaced(line, replace(line, at_px=(line.at_px[0], above.at_px[1])))
    return after


def scrolled(scene: RenderedScene, rng: random.Random) -> RenderedScene | None:
    """Scroll the lines by one to six; new ones come in below."""
    lines = scene.texts("line")
    if len(lines) < 8:
        return None
    by = rng.randint(1, 6)
    after = scene
    for number, line in enumerate(lines):
        source = lines[number + by] if number + by < len(lines) else None
        text = source.text if source else sentence(rng, 4)
        left = source.at_px[0] if source else line.at_px[0]
        after = after.replaced(line, replace(line, text=text, at_px=(left, line.at_px[1])))
    return after


def word(scene: RenderedScene, rng: random.Random) -> RenderedScene | None:
    """Replace one word by another."""
    found = [text for text in scene.texts(*_PROSE) if len(text.text.split()) > 1]
    if not found:
        return None
    old = rng.choice(found)
    words = old.text.split(" ")
    at = rng.randrange(len(words))
    words[at] = next(new for new in iter(lambda: sentence(rng, 1), "") if new != words[at])
    return scene.replaced(old, replace(old, text=" ".join(words)))


def character(scene: RenderedScene, rng: random.Random) -> RenderedScene | None:
    """Replace one letter or digit."""
    found = scene.texts("line", "message", "cell")
    if not found:
        return None
    old = rng.choice(found)
    at = rng.choice([index for index, letter in enumerate(old.text) if letter.isalnum()] or [0])
    new = rng.choice([letter for letter in "abdefghkmnopqrstuwxyz023456789" if letter != old.text[at].lower()])
    return scene.replaced(old, replace(old, text=old.text[:at] + new + old.text[at + 1 :]))


def of_role(*roles: str, draw: Callable[[str, random.Random], str]) -> SceneEdit:
    """Return the edit that gives a text of one of the roles a new text."""

    def edit(scene: RenderedScene, rng: random.Random) -> RenderedScene | None:
        found = scene.texts(*roles)
        if not found:
            return None
        old = rng.choice(found)
        new = next(text for text in iter(lambda: draw(old.text, rng), None) if text != old.text)
        return scene.replaced(old, replace(old, text=new))

    return edit


def one_digit(text: str, rng: random.Random) -> str:
    """Return the text with one digit replaced; text without a digit gets one."""
    places = [index for index, letter in enumerate(text) if letter.isdigit()]
    if not places:
        return f"{text} {rng.randint(2, 9)}"
    at = rng.choice(places)
    return text[:at] + rng.choice("123456789".replace(text[at], "")) + text[at + 1 :]


def picture(scene: RenderedScene, rng: random.Random) -> RenderedScene | None:
    """Replace a picture."""
    found = [element for element in scene.elements if isinstance(element, PictureElement)]
    return scene.replaced(found[0], replace(found[0], seed=rng.randrange(10_000, 20_000))) if found else None


def next_page(scene: RenderedScene, rng: random.Random) -> RenderedScene:
    """Show another page of the same kind."""
    return another_page(scene, rng)


def window(scene: RenderedScene, rng: random.Random) -> RenderedScene:
    """Switch to another program."""
    return another_page(scene, rng, rng.choice([kind for kind in LAYOUTS if kind != scene.kind]))


def dialog(scene: RenderedScene, rng: random.Random) -> RenderedScene:
    """Open a dialog over the middle."""
    width_px, height_px = scene.size_px
    return _box(scene, rng, (width_px // 2 - 210, height_px // 2 - 90), (420, 180), "dialog")


def toast(scene: RenderedScene, rng: random.Random) -> RenderedScene:
    """Show a notification in a corner."""
    width_px, height_px = scene.size_px
    top_px = rng.choice((60, height_px - 170))
    return _box(scene, rng, (width_px - round(340 * scene.scale), top_px), (310, 84), "toast")


def _box(
    scene: RenderedScene, rng: random.Random, at_px: tuple[int, int], size_pt: tuple[int, int], role: str
) -> RenderedScene:
    unit, (left, top) = scene.scale, at_px
    right, bottom = left + round(size_pt[0] * unit), top + round(size_pt[1] * unit)
    box = ShapeElement(role=role, box_px=(left, top, right, bottom), fill=scene.theme.bar, outline=scene.theme.frame)
    texts = [
        TextElement(
            role=role,
            at_px=(left + round(18 * unit), top + round((16 + 28 * row) * unit)),
            side_px=round(side * unit),
            text=sentence(rng, 4),
            colour=scene.theme.ink,
        )
        for row, side in enumerate((16, 14))
    ]
    return scene.with_elements((*scene.elements, box, *texts))


CHANGED: dict[str, SceneEdit] = {
    "line added": line_added,
    "line deleted": line_deleted,
    "scroll": scrolled,
    "word": word,
    "one cell": of_role("cell", draw=lambda _, rng: amount(rng)),
    "one figure": of_role("figure", draw=one_digit),
    "badge": of_role("badge", draw=one_digit),
    "subtitle": of_role("subtitle", draw=lambda _, rng: sentence(rng, 5)),
    "message": of_role("message", draw=lambda _, rng: sentence(rng, 4)),
    "image": picture,
    "page": next_page,
    "window": window,
    "dialog": dialog,
    "toast": toast,
}
"""The edits that leave another text or another picture."""
