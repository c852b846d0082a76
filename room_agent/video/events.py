"""Delivers one room's frame events to the callbacks that subscribed to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from room_agent.core.models import FrameDescribed, FrameKept, TrackEnded


@dataclass(frozen=True, slots=True)
class FrameEvents:
    """The subscribers of one room, called in the order of each list on the event loop."""

    kept: list[Callable[[FrameKept], None]] = field(default_factory=list)
    described: list[Callable[[FrameDescribed], Awaitable[None] | None]] = field(default_factory=list)
    track_ended: list[Callable[[TrackEnded], None]] = field(default_factory=list)

    def emit_kept(self, event: FrameKept) -> None:
        for notify in self.kept:
            notify(event)

    async def emit_described(self, event: FrameDescribed) -> None:
        """Notify the subscribers in turn, and wait for each.

        A track sends its next frame only after this returns, so the descriptions of a track arrive in order.
        """
        for notify in self.described:
            delivery = notify(event)
            if delivery is not None:
                await delivery

    def emit_track_ended(self, event: TrackEnded) -> None:
        for notify in self.track_ended:
            notify(event)
