"""Labelled pairs: the looks at a share before and after one event, and whether the event is new content."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from room_agent.frames.i420 import Planes
from tests.benchmarks.frames.codecs import Transport, any_transport, half_size, transport
from tests.benchmarks.frames.edits import CHANGED, SceneEdit
from tests.benchmarks.frames.layouts import LAYOUTS, scene
from tests.benchmarks.frames.scene import PointerShape, RenderedScene
from tests.benchmarks.frames.small_edits import COLOUR, SMALL
from tests.benchmarks.frames.themes import StatusPalette

Group = Literal["changed", "colour", "small", "same"]
LOOKS_AFTER = 10
"""The looks that follow an event, one a second: content has to be sent in one of them."""

_WARM_UP_FRAMES = 6
_ATTEMPTS = 60
_CLOCK_EVERY_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedLook:
    """One sampled picture of a share and its time since the share's start."""

    at_s: float
    planes: Planes


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePair:
    """The looks before and after an event. `kind` names the event; the gate must not send those of the group `same`."""

    kind: str
    group: Group
    screen: str
    theme: str
    codec: str
    before: tuple[SharedLook, ...]
    after: tuple[SharedLook, ...]

    @property
    def is_content(self) -> bool:
        return self.group != "same"


def pairs(seed: int, count: int, palettes: tuple[StatusPalette, ...]) -> Iterator[FramePair]:
    """Yield `count` pairs, always the same for a seed: each kind of event in turn on screens drawn at random.

    The kinds that show nothing new come twice as often as the others, which are twice as many.
    """
    turns = [*_KINDS.items(), *((kind, made) for kind, made in _KINDS.items() if made[0] == "same")]
    for number in range(count):
        kind, (group, make) = turns[number % len(turns)]
        rng = random.Random(f"{seed} {number}")
        yield make(kind, group, rng, palettes)


class _PairRecorder:
    """Renders the scenes of one pair through one transport, a look a second."""

    def __init__(self, first: RenderedScene, rng: random.Random, connection: Transport, codec: str) -> None:
        self._connection, self.codec, self._rng = connection, codec, rng
        self._before: list[SharedLook] = []
        self._after: list[SharedLook] = []
        self._at_s = 0.0
        picture = first.planes()
        for _ in range(_WARM_UP_FRAMES):
            connection.send(picture)

    def look(self, scene: RenderedScene, *, after: bool = False, key: bool = False, frames: int = 1) -> None:
        """Show a scene for a second in `frames` coded frames, and take the last."""
        picture = scene.planes()
        for number in range(frames):
            received = self._connection.send(picture, key=key and number == 0)
        self.take(received, after=after)

    def take(self, received: Planes, *, after: bool) -> None:
        """Add a look."""
        (self._after if after else self._before).append(SharedLook(at_s=self._at_s, planes=received))
        self._at_s += 1.0

    def wait(self, looks: int) -> None:
        """Repeat the last looks before the event: nothing happens on the screen."""
        noise = self._before[-3:]
        for number in range(looks):
            self.take(noise[number % len(noise)].planes, after=False)

    def pair(self, kind: str, group: Group, scene: RenderedScene) -> FramePair:
        return FramePair(
            kind=kind,
            group=group,
            screen=scene.kind,
            theme=scene.theme.name,
            codec=self.codec,
            before=tuple(self._before),
            after=tuple(self._after),
        )


_Maker = Callable[[str, Group, random.Random, tuple[StatusPalette, ...]], FramePair]


def _edited(edit: SceneEdit) -> _Maker:
    def make(kind: str, group: Group, rng: random.Random, palettes: tuple[StatusPalette, ...]) -> FramePair:
        before, after = _applied(edit, rng, palettes)
        recorder = _recorder(before, rng)
        for _ in range(3):
            recorder.look(before)
        # The pointer may move with the event: a click, a scroll.
        if rng.random() < 0.3:
            after = after.with_overlay(pointer_px=_point(after, rng))
        # A look soon after the event sees a picture that is still soft.
        recorder.look(after, after=True, frames=rng.choice((2, 5, 12)))
        for _ in range(LOOKS_AFTER):
            recorder.look(after, after=True)
        return recorder.pair(kind, group, before)

    return make


def _applied(
    edit: SceneEdit, rng: random.Random, palettes: tuple[StatusPalette, ...]
) -> tuple[RenderedScene, RenderedScene]:
    for _ in range(_ATTEMPTS):
        before = _screen(rng, palettes)
        after = edit(before, rng)
        if after is not None and after.elements != before.elements and _visible(before, after):
            return before, after
    raise AssertionError("No screen has anything that this edit applies to.")


def _visible(before: RenderedScene, after: RenderedScene) -> bool:
    """Return whether the edit shows: elements may lie outside the screen or below others."""
    return before.image().tobytes() != after.image().tobytes()


def _screen(rng: random.Random, palettes: tuple[StatusPalette, ...]) -> RenderedScene:
    shown = scene(rng.choice(list(LAYOUTS)), rng, palettes)
    return shown.with_overlay(pointer_px=_point(shown, rng), clock=f"10:{rng.randint(10, 58)}")


def _point(scene: RenderedScene, rng: random.Random) -> tuple[int, int]:
    return rng.randint(20, scene.size_px[0] - 60), rng.randint(60, scene.size_px[1] - 90)


def _recorder(first: RenderedScene, rng: random.Random) -> _PairRecorder:
    planes = first.planes()
    connection, codec = any_transport((planes.width_px, planes.height_px), rng)
    return _PairRecorder(first, rng, connection, codec)


def _pointer(kind: str, group: Group, rng: random.Random, palettes: tuple[StatusPalette, ...]) -> FramePair:
    """Move the pointer; before and after it stays and moves on, as a hand does."""
    shown = _screen(rng, palettes)
    recorder = _recorder(shown, rng)
    left, top = _point(shown, rng)
    shapes: tuple[PointerShape, ...] = ("arrow", "hand", "beam")
    at = shown.with_overlay(pointer_px=(left, top), pointer_shape=rng.choice(shapes))
    gone = at.with_overlay(pointer_px=None)
    for one in (shown, shown, at, at):
        recorder.look(one)
    if kind == "pointer arrives":
        for _ in range(2):
            recorder.look(gone)
        first = at.with_overlay(pointer_px=_point(at, rng))
    elif kind == "pointer leaves":
        first = gone
    elif kind == "pointer changes shape":
        first = at.with_overlay(pointer_shape=rng.choice([s for s in shapes if s != at.overlay.pointer_shape]))
    elif kind == "pointer near":
        first = at.with_overlay(pointer_px=(left + rng.randint(-14, 14), top + rng.choice((-9, -5, 4, 8))))
    else:
        first = at.with_overlay(pointer_px=_point(at, rng))
    second = gone if kind == "pointer leaves" else first.with_overlay(pointer_px=_point(at, rng))
    for number in range(LOOKS_AFTER + 1):
        recorder.look(first if number < 4 else second, after=True, frames=2 if number in (0, 4) else 1)
    return recorder.pair(kind, group, shown)


def _caret(kind: str, group: Group, rng: random.Random, palettes: tuple[StatusPalette, ...]) -> FramePair:
    """Let a caret blink behind a text, once the looks have seen it blink before."""
    shown, _ = _applied(CHANGED["word"], rng, palettes)
    text = rng.choice(shown.texts("line", "message", "comment"))
    place = (text.at_px[0] + round(len(text.text) * text.side_px * 0.62) + 6, text.at_px[1] - 1)
    on = shown.with_overlay(caret_px=place)
    recorder = _recorder(on, rng)
    for number in range(8):
        recorder.look(on if number == 0 or rng.random() < 0.5 else shown)
    moves = _point(shown, rng) if kind == "caret and pointer" else shown.overlay.pointer_px
    for number in range(LOOKS_AFTER + 1):
        blinks = number > 0 and rng.random() < 0.5
        recorder.look((on if blinks else shown).with_overlay(pointer_px=moves), after=True)
    return recorder.pair(kind, group, shown)


def _clock(kind: str, group: Group, rng: random.Random, palettes: tuple[StatusPalette, ...]) -> FramePair:
    """Let the clock tick for the third time."""
    shown = _screen(rng, palettes)
    while shown.clock_at_px is None:
        shown = _screen(rng, palettes)
    recorder = _recorder(shown, rng)
    minute = rng.choice((rng.randint(10, 55), 57))
    for tick in range(2):
        ticked = shown.with_overlay(clock=_time(minute + tick))
        for _ in range(3):
            recorder.look(ticked)
        recorder.wait(_CLOCK_EVERY_S - 3)
    last = shown.with_overlay(clock=_time(minute + 2))
    for _ in range(3):
        recorder.look(last)
    recorder.wait(_CLOCK_EVERY_S - 3)
    final = last.with_overlay(clock=_time(minute + 3))
    for _ in range(LOOKS_AFTER + 1):
        recorder.look(final, after=True)
    return recorder.pair(kind, group, shown)


def _time(minute: int) -> str:
    return f"{10 + minute // 60}:{minute % 60:02}"


def _noise(kind: str, group: Group, rng: random.Random, palettes: tuple[StatusPalette, ...]) -> FramePair:
    """Show the same screen again: later, after a key frame, from a cold start, or as the half-size layer."""
    shown = _screen(rng, palettes)
    planes = shown.planes()
    size_px = (planes.width_px, planes.height_px)
    if kind == "cold start":
        connection, codec = transport("vp8", 300, size_px, rng), "vp8 300"
        recorder = _PairRecorder(shown, rng, connection, codec)
    else:
        recorder = _recorder(shown, rng)
    for _ in range(3):
        recorder.look(shown)
    small = half_size(planes)
    if kind == "half-size layer":
        below, _ = any_transport((small.width_px, small.height_px), rng)
    for number in range(LOOKS_AFTER + 1):
        # The smaller layer comes, and gives way to the full one after some seconds.
        if kind == "half-size layer" and number < 5:
            recorder.take(below.send(small), after=True)
        else:
            recorder.look(shown, after=True, key=kind == "key frame" and number == 0)
    return recorder.pair(kind, group, shown)


_KINDS: dict[str, tuple[Group, _Maker]] = {
    **{kind: ("changed", _edited(edit)) for kind, edit in CHANGED.items()},
    **{kind: ("colour", _edited(edit)) for kind, edit in COLOUR.items()},
    **{kind: ("small", _edited(edit)) for kind, edit in SMALL.items()},
    "pointer far": ("same", _pointer),
    "pointer near": ("same", _pointer),
    "pointer arrives": ("same", _pointer),
    "pointer leaves": ("same", _pointer),
    "pointer changes shape": ("same", _pointer),
    "caret": ("same", _caret),
    "caret and pointer": ("same", _caret),
    "clock": ("same", _clock),
    "codec noise": ("same", _noise),
    "key frame": ("same", _noise),
    "cold start": ("same", _noise),
    "half-size layer": ("same", _noise),
}
KINDS: tuple[tuple[str, Group], ...] = tuple((kind, group) for kind, (group, _) in _KINDS.items())
