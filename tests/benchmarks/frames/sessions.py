"""Labelled sessions: two minutes of work on a shared screen, a look a second, each look's content known."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from room_agent.frames.i420 import Planes
from tests.benchmarks.frames.codecs import transport
from tests.benchmarks.frames.draft import sentence
from tests.benchmarks.frames.edits import CHANGED, SceneEdit
from tests.benchmarks.frames.layouts import another_page, scene
from tests.benchmarks.frames.scene import Element, RenderedScene
from tests.benchmarks.frames.small_edits import COLOUR, SMALL
from tests.benchmarks.frames.themes import StatusPalette

SESSION_S = 120
_SIZE = (1920, 1080)
_CHARACTERS_A_SECOND = 7
_SHOWN_BEFORE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLook:
    """One look of a session; two looks show the same content where `content` is equal."""

    at_s: float
    planes: Planes
    content: tuple[Element, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlan:
    """A session's screen, and the weights of its events a second."""

    name: str
    screen: str
    typing: float = 0.0
    edits: float = 0.0
    colours: float = 0.0
    pages: float = 0.0
    returns: float = 0.0
    windows: float = 0.0


PLANS = (
    SessionPlan(name="coding", screen="code", typing=0.10, edits=0.02, windows=0.02, returns=0.02),
    SessionPlan(name="terminal", screen="terminal", typing=0.12, edits=0.06),
    SessionPlan(name="sheet", screen="sheet", edits=0.12, colours=0.02),
    SessionPlan(name="slides", screen="slide", pages=0.07, returns=0.06, edits=0.01),
    SessionPlan(name="writing", screen="document", typing=0.12, edits=0.04),
    SessionPlan(name="dashboard", screen="dashboard", edits=0.06, colours=0.08),
    SessionPlan(name="chat", screen="chat", edits=0.10, colours=0.04, windows=0.02, returns=0.02),
    SessionPlan(name="switching windows", screen="web", windows=0.06, returns=0.08, edits=0.02),
)


def looks(plan: SessionPlan, seed: int, palettes: tuple[StatusPalette, ...], seconds: int) -> Iterator[SessionLook]:
    """Yield a session's looks, always the same for a seed."""
    rng = random.Random(f"{seed} {plan.name}")
    connection = transport(rng.choice(("vp8", "vp8", "h264")), rng.choice((1200, 1800, 2500)), _SIZE, rng)
    before: RenderedScene | None = None
    for at_s, shown in enumerate(scenes(plan, rng, palettes, seconds)):
        picture = shown.planes()
        # The encoder sends at its full rate after a change, and once a second while nothing moves.
        frames = 1 if before == shown else rng.randint(2, 9)
        for _ in range(frames):
            received = connection.send(picture, key=at_s > 0 and at_s % 37 == 0)
        yield SessionLook(at_s=float(at_s), planes=received, content=shown.elements)
        before = shown


def scenes(
    plan: SessionPlan, rng: random.Random, palettes: tuple[StatusPalette, ...], seconds: int
) -> Iterator[RenderedScene]:
    """Yield the screen of each second."""
    shown = scene(plan.screen, rng, palettes, size_px=_SIZE)
    shown_before: list[RenderedScene] = []
    typed, minute, blink_px = "", 10, None
    for second in range(seconds):
        if second % 60 == 23:
            minute += 1
        event = _event(plan, rng) if not typed else "typing"
        if event == "typing":
            typed = typed or sentence(rng, rng.randint(4, 9))
            shown, typed = _typed(shown, typed)
        elif event in ("page", "window"):
            shown_before = [*shown_before, shown][-_SHOWN_BEFORE:]
            shown = another_page(
                shown, rng, None if event == "page" else rng.choice(("document", "code", "sheet", "chat"))
            )
        elif event == "return" and shown_before:
            shown, shown_before = shown_before[-1], [*shown_before[:-1], shown][-_SHOWN_BEFORE:]
        elif event in ("edit", "colour"):
            edit = rng.choice(_EDITS if event == "edit" else _COLOURS)
            shown = edit(shown, rng) or shown
        lines = shown.texts("line", "message")
        if lines:
            last = lines[-1]
            blink_px = (last.at_px[0] + round(len(last.text) * last.side_px * 0.62) + 6, last.at_px[1])
        pointer = shown.overlay.pointer_px
        if rng.random() < 0.2:
            pointer = (rng.randint(20, _SIZE[0] - 60), rng.randint(60, _SIZE[1] - 90))
        elif rng.random() < 0.03:
            pointer = None
        shown = shown.with_overlay(
            pointer_px=pointer, clock=f"10:{minute}", caret_px=blink_px if rng.random() < 0.5 else None
        )
        yield shown


def _event(plan: SessionPlan, rng: random.Random) -> str | None:
    weights = {
        "typing": plan.typing,
        "edit": plan.edits,
        "colour": plan.colours,
        "page": plan.pages,
        "return": plan.returns,
        "window": plan.windows,
    }
    at = rng.random()
    for event, weight in weights.items():
        at -= weight
        if at < 0:
            return event
    return None


def _typed(shown: RenderedScene, text: str) -> tuple[RenderedScene, str]:
    """Return the screen with the next characters of `text` typed into its last line, and the rest of the text."""
    lines = shown.texts("line", "message")
    if not lines:
        return shown, ""
    step = text[:_CHARACTERS_A_SECOND]
    last = lines[-1]
    room = (shown.size_px[0] * 0.7 - last.at_px[0]) / (last.side_px * 0.62)
    # A full line is typed over from its start, as a new one in a page that has scrolled.
    new = last.text + step if len(last.text) + len(step) < room else step
    return shown.replaced(last, replace(last, text=new)), text[_CHARACTERS_A_SECOND:]


_EDITS: list[SceneEdit] = [edit for kind, edit in CHANGED.items() if kind not in ("page", "window", "dialog", "toast")]
_EDITS += [SMALL["one character"], SMALL["swapped digits"]]
_COLOURS: list[SceneEdit] = list(COLOUR.values())
