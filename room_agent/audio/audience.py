"""Knows whether anybody hears a session's voice in a room, is about to, or never will. Publishes nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from livekit import rtc
from livekit.agents.voice.room_io import RoomIO

COMES_WITHIN_S = 3.0
"""How long the first words wait for the first subscriber: who has just joined has not subscribed yet."""


class VoiceSubscribers:
    """Those who hear one session's track. What is said to nobody would wait for somebody, and be paid for."""

    def __init__(self, io: RoomIO, room: rtc.Room, clock: Callable[[], float]) -> None:
        self._io = io
        self._room = room
        self._clock = clock
        self._awaited_until_s: float | None = None

    @property
    def hears(self) -> bool:
        """Whether somebody has subscribed to the track."""
        subscribed = self._io.subscribed_fut
        return subscribed is not None and subscribed.done()

    @property
    def lost(self) -> bool:
        """Whether there are people for whom the track was not published: a session tries that once."""
        # Nothing public of it says that it has ended: who waits for it to be ready waits for ever.
        began = self._io._init_atask
        return not self.hears and began is not None and began.done() and self._people

    @property
    def may_hear(self) -> bool:
        """Whether somebody hears, or may from one moment to the next since nobody was waited for before."""
        if self.hears or not self._people:
            return self.hears
        return self._awaited_until_s is None or self._clock() < self._awaited_until_s

    async def comes(self) -> bool:
        """Wait a moment, once, for the first subscriber; return whether there is one."""
        subscribed = self._io.subscribed_fut
        if not self.hears and subscribed is not None:
            now_s = self._clock()
            self._awaited_until_s = self._awaited_until_s or now_s + COMES_WITHIN_S
            await asyncio.wait({subscribed}, timeout=max(0.0, self._awaited_until_s - now_s))
        return self.hears

    @property
    def _people(self) -> bool:
        return self._room.isconnected() and bool(self._room.remote_participants)
