"""Holds what a room's conversation is about: what was shown, what was said, what the company knows of it."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable

from room_agent.conversation import Asked, Said, Turn, asks_about_screen, compose
from room_agent.forward import Described
from room_agent.knowledge import Knowledge
from room_agent.memory import EDITS, Memory
from room_agent.selection import Source

BUDGET_TOKENS = 6_000
MOST_SAID = 60


class Mind:
    """One room's."""

    def __init__(self, knowledge: Knowledge, agent_name: str, spoken: bool, wall_clock: Callable[[], float]) -> None:
        self.knowledge = knowledge
        self._agent_name = agent_name
        self._spoken = spoken
        self._wall_clock = wall_clock
        self._memory = Memory()
        self._said: deque[Said] = deque(maxlen=MOST_SAID)
        self._frame: tuple[str, bytes] | None = None

    def shown(self, described: Described, source: Source, shared_by: str) -> None:
        """Remember a frame and what was seen on it."""
        frame = described.frame
        track = frame.headers["x-frame-track"]
        self._frame = (track, frame.jpeg)
        edited = frame.why in EDITS
        text, at_s = described.answer.description, frame.captured_at_s
        self._memory.add(track, text, at_s, source=source, shared_by=shared_by, edited=edited)

    def no_longer_shown(self, track: str) -> None:
        self._memory.end(track, self._wall_clock())
        if self._frame is not None and self._frame[0] == track:
            self._frame = None

    def said(self, who: str | None, text: str) -> None:
        """Remember what somebody said, or, of nobody, what the agent answered."""
        self._said.append(Said(who=who, text=text, at_s=self._wall_clock()))

    def answered(self, text: str, interrupted: bool) -> None:
        if text:
            self.said(None, f"{text} … (interrupted)" if interrupted else text)

    def foresee(self, question: str) -> None:
        """Begin to look up what is about to be asked; `turn` goes on with it where it was asked so."""
        self.knowledge.foresee(question, self._frame_for(question))

    async def turn(self, question: str, asker: str) -> Turn:
        """Return what is put before the model for `question`; the knowledge base has its deadline and no more."""
        frame = self._frame_for(question)
        said = list(self._said)
        search = self.knowledge.finish(question, frame)
        asked = Asked(
            text=question,
            asker=asker,
            now_s=self._wall_clock(),
            memory=self._memory,
            passages=await search.passages(),
            said=said,
            frame_jpeg=frame,
        )
        key = secrets.token_hex(8)
        return compose(asked, key, BUDGET_TOKENS, agent_name=self._agent_name, spoken=self._spoken)

    def _frame_for(self, question: str) -> bytes | None:
        return self._frame[1] if self._frame is not None and asks_about_screen(question) else None
