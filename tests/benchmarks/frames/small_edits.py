"""Edits in colour alone, and small edits that look like a pointer, a caret, a clock or codec noise."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.benchmarks.frames.edits import SceneEdit, character, of_role, one_digit
from tests.benchmarks.frames.scene import RenderedScene, ShapeElement, TextElement


def _recoloured(scene: RenderedScene, shape: ShapeElement) -> RenderedScene:
    palette = scene.palette
    return scene.replaced(shape, replace(shape, fill=palette.bad if shape.fill != palette.bad else palette.good))


def status(scene: RenderedScene, rng: random.Random) -> RenderedScene | None:
    """Turn one state from good to bad, or back."""
    found = scene.shapes("status")
    return _recoloured(scene, rng.choice(found)) if found else None


def all_states(scene: RenderedScene, rng: random.Random) -> RenderedScene | None:
    """Turn all states."""
    found = scene.shapes("status")
    for shape in found:
        scene = _recoloured(scene, shape)
    return scene if found else None


def banner(scene: RenderedScene, rng: random.Random) -> RenderedScene | None:
    """Turn a banner from good to bad or to a warning."""
    found = scene.shapes("banner")
    fill = rng.choice((scene.palette.bad, scene.palette.warn))
    return scene.replaced(found[0], replace(found[0], fill=fill)) if found else None


def slices(scene: RenderedScene, rng: random.Random) -> RenderedScene | None:
    """Swap the colours of two slices of a pie."""
    found = scene.shapes("slice")
    if len(found) < 2:
        return None
    one, other = rng.sample(found, 2)
    scene = scene.replaced(one, replace(one, fill=other.fill))
    return scene.replaced(other, replace(other, fill=one.fill))


def link(scene: RenderedScene, rng: random.Random) -> RenderedScene | None:
    """Give a text the colour of links."""
    found = scene.texts("link", "comment", "cell")
    if not found:
        return None
    old = rng.choice(found)
    return scene.replaced(old, replace(old, colour=scene.palette.link))


def red_figure(scene: RenderedScene, rng: random.Random) -> RenderedScene | None:
    """Show a figure in the colour of bad news."""
    found = scene.texts("figure", "cell")
    if not found:
        return None
    old = rng.choice(found)
    return scene.replaced(old, replace(old, colour=scene.palette.bad))


def diff_tint(scene: RenderedScene, rng: random.Random) -> RenderedScene | None:
    """Tint the ground of one to four lines, as a diff does; a tint that is there changes its colour."""
    tints = scene.shapes("tint")
    if tints:
        new = scene.palette.bad_tint if tints[0].fill == scene.palette.good_tint else scene.palette.good_tint
        for tint in tints:
            scene = scene.replaced(tint, replace(tint, fill=new))
        return scene
    lines = scene.texts("line")
    # Tints of a light design on a dark page would be a change of brightness.
    if len(lines) < 5 or scene.theme.dark != (sum(scene.palette.good_tint) < 3 * 128):
        return None
    at = rng.randrange(len(lines) - 4)
    grounds = tuple(_ground(scene, line, scene.palette.good_tint) for line in lines[at : at + rng.randint(1, 4)])
    return scene.with_elements((*grounds, *scene.elements))


def _ground(scene: RenderedScene, line: TextElement, fill: tuple[int, int, int]) -> ShapeElement:
    left, top = line.at_px
    right = left + round(500 * scene.scale)
    return ShapeElement(role="tint", box_px=(left, top - 2, right, top + line.side_px + 5), fill=fill)


def thin_character(scene: RenderedScene, rng: random.Random) -> RenderedScene | None:
    """Type "l" or "|" alone: both look like a caret."""
    found = scene.texts("line", "message")
    if not found:
        return None
    old = rng.choice(found)
    typed = replace(old, text=rng.choice("l|"), at_px=(old.at_px[0] + round(520 * scene.scale), old.at_px[1]))
    return scene.with_elements((*scene.elements, typed))


def radio(scene: RenderedScene, rng: random.Random) -> RenderedScene | None:
    """Choose another radio button: a dot moves, as a pointer would."""
    dots, buttons = scene.shapes("choice"), scene.shapes("radio")
    if not dots:
        return None
    inset = round(4 * scene.scale)
    targets = [button for button in buttons if abs(button.box_px[1] + inset - dots[0].box_px[1]) > 2 * inset]
    left, top, right, bottom = rng.choice(targets).box_px
    return scene.replaced(dots[0], replace(dots[0], box_px=(left + inset, top + inset, right - inset, bottom - inset)))


def icon_moved(scene: RenderedScene, rng: random.Random) -> RenderedScene | None:
    """Move an icon of 12 by 16 points by 300, as a card of a board moves."""
    found = scene.shapes("icon")
    if not found:
        return None
    left, top, right, bottom = found[0].box_px
    by = round(300 * scene.scale)
    return scene.replaced(found[0], replace(found[0], box_px=(left + by, top, right + by, bottom)))


def swapped_digits(scene: RenderedScene, rng: random.Random) -> RenderedScene | None:
    """Let two neighbouring digits swap places."""
    pairs = [
        (text, at)
        for text in scene.texts("cell", "figure")
        for at in range(len(text.text) - 1)
        if text.text[at : at + 2].isdigit() and text.text[at] != text.text[at + 1]
    ]
    if not pairs:
        return None
    old, at = rng.choice(pairs)
    new = old.text[:at] + old.text[at + 1] + old.text[at] + old.text[at + 2 :]
    return scene.replaced(old, replace(old, text=new))


def last_row_digit(scene: RenderedScene, rng: random.Random) -> RenderedScene | None:
    """Change one digit in the last visible row: there a clock would stand."""
    cells = scene.texts("cell")
    last = [cell for cell in cells if cell.at_px[1] == cells[-1].at_px[1]]
    return scene.replaced(last[-1], replace(last[-1], text=one_digit(last[-1].text, rng))) if last else None


COLOUR: dict[str, SceneEdit] = {
    "status colour": status,
    "all states": all_states,
    "banner colour": banner,
    "slices": slices,
    "link colour": link,
    "figure colour": red_figure,
    "diff tint": diff_tint,
}
"""The edits that leave the text as it was and change a colour."""

SMALL: dict[str, SceneEdit] = {
    "one character": character,
    "thin character": thin_character,
    "radio": radio,
    "icon moved": icon_moved,
    "swapped digits": swapped_digits,
    "last row": last_row_digit,
    "top bar count": of_role("badge", draw=one_digit),
}
"""The edits that look like a pointer, a caret, a clock or codec noise, and are none."""
