"""Screens that return: the requests that they save, and whether one with an edited word is taken for its original."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from room_agent.video.frame_gate import FrameGate, GateDecision
from tests.benchmarks.frames.codecs import Transport, any_transport
from tests.benchmarks.frames.edits import CHANGED
from tests.benchmarks.frames.layouts import LAYOUTS, another_page, scene
from tests.benchmarks.frames.scene import RenderedScene
from tests.benchmarks.frames.sessions import PLANS, SessionLook
from tests.benchmarks.frames.themes import StatusPalette

RETURNING = tuple(plan for plan in PLANS if plan.name in ("slides", "switching windows"))
"""The sessions with slides that are flipped back and windows that are switched back."""
_MOST_LOOKS = 6
_FRAMES_OF_A_CHANGE = 3
"""The coded frames before the first look at a screen; the next looks are a frame apart, as the encoder sends them."""


@dataclass(slots=True)
class ReuseScore:
    """The kept frames of one session or more: sent, described by an earlier description, and of these the wrong ones.

    `wrong` frames took the description of a frame that shows another content.
    """

    sent: int = 0
    reused: int = 0
    wrong: int = 0
    contents: dict[int, object] = field(default_factory=dict, repr=False)
    """The content of each kept frame of the session, by its key."""

    def add(self, decision: GateDecision, content: object) -> None:
        """Count a frame if it is kept."""
        if not decision.keep:
            return
        self.contents[decision.key] = content
        if decision.same_as is None:
            self.sent += 1
            return
        self.reused += 1
        self.wrong += self.contents[decision.same_as] != content


@dataclass(frozen=True, slots=True, kw_only=True)
class EditedReturn:
    """A screen that is left, comes back with one word edited, and then as it was.

    `edited_is_new` is False where the edited one was taken for the original. `found` says whether the original was
    recognised.
    """

    screen: str
    theme: str
    codec: str
    why: str
    edited_is_new: bool
    found: bool


def score(sessions: Iterable[Iterable[SessionLook]]) -> ReuseScore:
    """Return the sum of the scores of some sessions."""
    total = ReuseScore()
    for looks in sessions:
        gate, total.contents = FrameGate(), {}
        for look in looks:
            total.add(gate.offer(look.planes, look.at_s), look.content)
    return total


def edited_returns(seed: int, count: int, palettes: tuple[StatusPalette, ...]) -> Iterator[EditedReturn]:
    """Yield `count` returns, always the same for a seed, on screens of all kinds that hold prose."""
    for number in range(count):
        rng = random.Random(f"{seed} return {number}")
        before, after = _edited_word(rng, palettes)
        other = another_page(before, rng, rng.choice([kind for kind in LAYOUTS if kind != before.kind]))
        planes = before.planes()
        connection, codec = any_transport((planes.width_px, planes.height_px), rng)
        share = _Share(connection)
        share.show(before)
        share.show(other)
        edited, again = share.show(after), share.show(before)
        yield EditedReturn(
            screen=before.kind,
            theme=before.theme.name,
            codec=codec,
            why=edited.why,
            edited_is_new=edited.keep and edited.same_as is None,
            found=again.same_as is not None,
        )


class _Share:
    """A share of which each screen is shown until it is kept, a look a second."""

    def __init__(self, connection: Transport) -> None:
        self._connection, self._gate, self._at_s = connection, FrameGate(), 0.0

    def show(self, shown: RenderedScene) -> GateDecision:
        """Return the decision that keeps the screen, or the last one where none does."""
        picture = shown.planes()
        for look in range(_MOST_LOOKS):
            for _ in range(1 if look else _FRAMES_OF_A_CHANGE):
                received = self._connection.send(picture)
            decision = self._gate.offer(received, self._at_s)
            self._at_s += 1.0
            if decision.keep:
                break
        return decision


def _edited_word(rng: random.Random, palettes: tuple[StatusPalette, ...]) -> tuple[RenderedScene, RenderedScene]:
    while True:
        before = scene(rng.choice(list(LAYOUTS)), rng, palettes)
        after = CHANGED["word"](before, rng)
        # A text may lie outside the screen or below another.
        if after is not None and after.image().tobytes() != before.image().tobytes():
            return before, after
