"""Bears out or drops what one comparison only suggests: that a pointer moved, a caret blinked, a clock ticked.

A pointer moves on, a caret blinks again, a clock ticks within a minute. What does not is content, and is due.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from room_agent.frames.classifier import could_be_caret, could_be_clock
from room_agent.frames.cursors import Shape, is_same_shape
from room_agent.frames.regions import Region
from room_agent.frames.verdict import Finding, RegionKind

SPOT_S = 6.5
"""The time in which a spot must move on, or it is sent as content."""
CARET_S = 8.5
"""The time in which a caret must blink, or it is sent as content. One sampled at nearly its own rate takes so long."""
DETAIL_S = 2.5
"""A detail that stays for this time is no noise: a codec sharpens its picture sooner."""
CLOCK_S = 75.0
"""A clock ticks again within this time."""
POINTER_S = 900.0
"""A shape with a cursor's outline is sent once if it stays in its place for this time."""

_LIMIT_S = {
    RegionKind.SPOT: SPOT_S,
    RegionKind.CARET: CARET_S,
    RegionKind.DETAIL: DETAIL_S,
    RegionKind.CLOCK: CLOCK_S,
    RegionKind.POINTER: POINTER_S,
}
# A caret that was seen to blink keeps its place while it goes on blinking.
_BLINKS_AGAIN_S = 25.0
_BLINKS = 2
_MINUTE_S, _MINUTE_TOLERANCE_S = 60.0, 2.5
_TICKS = 3
# What came and went so often in one small place blinks, whatever its outline.
_TURNS = 3
_PLACES = 3
_MOST_SHAPES = 4
_MOST_REGIONS = 16

_UNEXPLAINED = (RegionKind.CONTENT, RegionKind.SPOT, RegionKind.DETAIL)

SinceOf = Callable[[Region], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ticking:
    """A place that changes time and again: a caret or a clock."""

    region: Region
    changed_s: tuple[float, ...]
    confirmed: bool = False
    blinks: int = 0
    """The changes of this place while nothing around it changed, as a letter that was typed does not."""
    is_bar: bool = False
    """Whether it has the outline of a caret."""
    differs: bool = True
    """Whether it differed from the kept picture when it last changed."""
    turns: int = 0
    """How often it came or went since it was first seen."""


@dataclass(slots=True)
class Hypotheses:
    """What was learned of one track's pointer, carets and clocks; for one thread at a time."""

    known_shapes: list[Shape] = field(default_factory=list)
    _spots: list[Region] = field(default_factory=list)
    _carets: list[_Ticking] = field(default_factory=list)
    _clocks: list[_Ticking] = field(default_factory=list)
    _shape: tuple[int, int] = (0, 0)

    def learn(
        self, findings: Sequence[Finding], changed: Callable[[Region], bool], shape: tuple[int, int], now_s: float
    ) -> list[Finding]:
        """Return the findings of a look as this and earlier looks bear them out.

        `changed` returns whether a region changed since the look before; `shape` is the grid's.
        """
        self._shape = shape
        self._learn_carets(findings, changed, shape, now_s)
        self._learn_clocks(findings, changed, shape, now_s)
        self._learn_pointer(findings)
        return [self._borne_out(finding) for finding in findings]

    def due(self, findings: Sequence[Finding], waiting_s: SinceOf, now_s: float) -> list[Finding]:
        """Return the findings that nothing bore out in time. `waiting_s` returns since when a region differs."""
        return [finding for finding in findings if self._is_due(finding, waiting_s, now_s)]

    def explains(self, finding: Finding) -> bool:
        """Return whether a caret was seen to blink or a clock to tick in this place, at any time."""
        if finding.kind is RegionKind.CARET:
            return any(one.blinks >= _BLINKS and _is_at(one, finding) for one in self._carets)
        return finding.kind in _UNEXPLAINED and self._is_at_a_clock(finding)

    def _is_due(self, finding: Finding, waiting_s: SinceOf, now_s: float) -> bool:
        limit_s = _LIMIT_S.get(finding.kind)
        if limit_s is None or waiting_s(finding.region) < limit_s:
            return False
        if finding.kind is RegionKind.POINTER:
            return not self.known_shapes
        if finding.kind is RegionKind.CARET:
            return not any(
                _is_at(one, finding) and _is_alive(one, _BLINKS_AGAIN_S if one.is_bar else CARET_S, now_s)
                for one in self._carets
            )
        if finding.kind is RegionKind.CLOCK:
            return not any(_is_at(one, finding) and _is_alive(one, CLOCK_S, now_s) for one in self._clocks)
        return True

    def _borne_out(self, finding: Finding) -> Finding:
        if finding.kind is RegionKind.CONTENT and self._is_at_a_clock(finding):
            return replace(finding, kind=RegionKind.CLOCK)
        if finding.kind in _UNEXPLAINED and any(one.turns >= _TURNS and _holds(one, finding) for one in self._carets):
            return replace(finding, kind=RegionKind.CARET)
        return finding

    def _is_at_a_clock(self, finding: Finding) -> bool:
        """Return whether a change no larger than a clock lies where a clock was seen."""
        return could_be_clock(finding.region, self._shape) and any(
            one.confirmed and _is_at(one, finding) for one in self._clocks
        )

    def _learn_pointer(self, findings: Sequence[Finding]) -> None:
        """Remember the shape of a pointer, and that of a spot which was seen in three places."""
        spots = [finding for finding in findings if finding.kind is RegionKind.SPOT]
        if not spots:
            self._spots.clear()
        for finding in spots:
            if not any(place.overlaps(finding.region) for place in self._spots):
                self._spots.append(finding.region)
        moved_on = len(self._spots) >= _PLACES
        for finding in findings:
            pointer = finding.kind is RegionKind.POINTER or (finding.kind is RegionKind.SPOT and moved_on)
            if pointer and finding.shape is not None:
                self._remember(finding.shape)

    def _remember(self, shape: Shape) -> None:
        if not any(is_same_shape(shape, known) for known in self.known_shapes):
            self.known_shapes = [*self.known_shapes, shape][-_MOST_SHAPES:]

    def _learn_carets(
        self, findings: Sequence[Finding], changed: Callable[[Region], bool], shape: tuple[int, int], now_s: float
    ) -> None:
        self._carets = [_turned(one, findings, now_s) if changed(one.region) else one for one in self._carets]
        for finding in findings:
            is_bar = finding.kind is RegionKind.CARET
            if not is_bar and not (finding.kind in _UNEXPLAINED and could_be_caret(finding.region, shape)):
                continue
            if not any(_is_at(one, finding) for one in self._carets):
                self._carets.append(_Ticking(region=finding.region, changed_s=(now_s,), is_bar=is_bar))
        self._carets = sorted(self._carets, key=lambda one: one.changed_s[-1])[-_MOST_REGIONS:]

    def _learn_clocks(
        self, findings: Sequence[Finding], changed: Callable[[Region], bool], shape: tuple[int, int], now_s: float
    ) -> None:
        self._clocks = [_ticked(one, now_s) if changed(one.region) else one for one in self._clocks]
        for finding in findings:
            clock = finding.kind is RegionKind.CLOCK
            if not clock and not (finding.kind is RegionKind.CONTENT and could_be_clock(finding.region, shape)):
                continue
            if not any(_is_at(one, finding) for one in self._clocks):
                self._clocks.append(_Ticking(region=finding.region, changed_s=(now_s,), confirmed=clock))
        self._clocks = self._clocks[-_MOST_REGIONS:]


def _ticked(one: _Ticking, now_s: float) -> _Ticking:
    """Return the place after another change. Three changes a minute apart are those of a clock."""
    changed_s = (*one.changed_s, now_s)[-_TICKS:]
    steps_s = [later - earlier for earlier, later in pairwise(changed_s)]
    minutes = len(changed_s) == _TICKS and all(abs(step - _MINUTE_S) <= _MINUTE_TOLERANCE_S for step in steps_s)
    return replace(one, changed_s=changed_s, confirmed=one.confirmed or minutes)


def _turned(one: _Ticking, findings: Sequence[Finding], now_s: float) -> _Ticking:
    """Return the place after another change, in which a caret came or went."""
    differs = any(_is_at(one, finding) for finding in findings)
    alone = not any(finding.kind is RegionKind.CONTENT and finding.region.overlaps(one.region) for finding in findings)
    turns, blinks = one.turns + (differs != one.differs), one.blinks + alone
    return replace(_ticked(one, now_s), differs=differs, turns=turns, blinks=blinks)


def _is_alive(one: _Ticking, within_s: float, now_s: float) -> bool:
    """Return whether a place changed more than once, the last time within the given time."""
    return len(one.changed_s) > 1 and now_s - one.changed_s[-1] <= within_s


def _is_at(one: _Ticking, finding: Finding) -> bool:
    """Return whether a finding lies in the same place, within a cell: the last digit of a clock, or all of it."""
    return one.region.overlaps(finding.region) and abs(one.region.top - finding.region.top) <= 2


def _holds(one: _Ticking, finding: Finding) -> bool:
    """Return whether a finding lies within a place, or a cell beside it."""
    place, region = one.region, finding.region
    return (
        place.top - 1 <= region.top
        and region.bottom <= place.bottom + 1
        and place.left - 1 <= region.left
        and region.right <= place.right + 1
    )
