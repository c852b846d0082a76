"""Holds what a room's conversation is about: what was shown, what was said, what the company knows of it."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from room_agent.context.latest_frames import LatestFrame, LatestFrames
from room_agent.context.prompt import PromptQuestion, Remark, Turn, compose
from room_agent.context.retrieval import KnowledgeRetrieval
from room_agent.context.screen_memory import EDITS, ScreenMemory
from room_agent.core.models import FrameDescribed, FrameKept, TrackEnded
from room_agent.intent.screen_question import asks_about_screen

BUDGET_TOKENS = 6_000
MOST_SAID = 60
FOLLOWS_WITHIN_S = 120.0
"""So long after a question about the screen "And in March?" is about it too."""


@dataclass(frozen=True, slots=True)
class _Looked:
    """Who asked the last question, if it had a picture, and which track's."""

    by: str
    track: str
    at_s: float


class ContextBuilder:
    """One room's."""

    def __init__(
        self, knowledge: KnowledgeRetrieval, agent_name: str, spoken: bool, wall_clock: Callable[[], float]
    ) -> None:
        self.knowledge = knowledge
        self._agent_name = agent_name
        self._spoken = spoken
        self._wall_clock = wall_clock
        self._memory = ScreenMemory()
        self._said: deque[Remark] = deque(maxlen=MOST_SAID)
        self._pictures = LatestFrames()
        self._looked: _Looked | None = None

    def on_frame_kept(self, event: FrameKept) -> None:
        """Store a frame that shows something new: a question about it may come before its description."""
        track, frame = event.track, event.frame
        picture = LatestFrame(
            track=track.sid,
            label=self._memory.label(track.sid, track.source, track.shared_by),
            source=track.source,
            shared_by=track.shared_by,
            identity=track.identity,
            jpeg=frame.jpeg,
            captured_at_s=frame.captured_at_s,
        )
        self._pictures.kept(picture)
        self._memory.changed(track.sid, frame.captured_at_s, edited=frame.why in EDITS)

    def on_frame_described(self, event: FrameDescribed) -> None:
        """Store the description of a frame."""
        track, frame = event.track, event.frame
        self._memory.add(
            track.sid,
            event.answer.description,
            frame.captured_at_s,
            source=track.source,
            shared_by=track.shared_by,
            edited=frame.why in EDITS,
        )

    def on_track_ended(self, event: TrackEnded) -> None:
        """Forget the picture of a track that shows nothing more, and close its entry in the memory."""
        self._memory.end(event.track.sid, self._wall_clock())
        self._pictures.end(event.track.sid)

    def said(self, who: str | None, text: str) -> None:
        """Remember what somebody said, or, of nobody, what the agent answered."""
        self._said.append(Remark(who=who, text=text, at_s=self._wall_clock()))

    def answered(self, text: str, interrupted: bool) -> None:
        if text:
            self.said(None, f"{text} … (interrupted)" if interrupted else text)

    def foresee(self, question: str, identity: str) -> None:
        """Begin to look up what is about to be asked; `turn` goes on with it where it was asked so."""
        picture = self._picture_for(question, identity)
        self.knowledge.foresee(question, picture.jpeg if picture is not None else None)

    async def turn(self, question: str, asker: str, identity: str) -> Turn:
        """Return what is put before the model for `question`; the knowledge base has its deadline and no more."""
        follows, picture = self._follows(identity), self._picture_for(question, identity)
        self._looked = _Looked(identity, picture.track, self._wall_clock()) if picture is not None else None
        jpeg, label = (picture.jpeg, picture.label) if picture is not None else (None, "")
        said = list(self._said)
        search = self.knowledge.finish(question, jpeg)
        asked = PromptQuestion(
            text=question,
            asker=asker,
            follows_screen=follows,
            now_s=self._wall_clock(),
            memory=self._memory,
            passages=await search.passages(),
            said=said,
            frame_jpeg=jpeg,
            frame_of=label,
        )
        key = secrets.token_hex(8)
        return compose(asked, key, BUDGET_TOKENS, agent_name=self._agent_name, spoken=self._spoken)

    def _picture_for(self, question: str, identity: str) -> LatestFrame | None:
        shown = self._memory.shown_now()
        if asks_about_screen(question, shown):
            return self._pictures.of(question, identity)
        if self._looked is None or not asks_about_screen(question, shown, self._follows(identity)):
            return None
        return self._pictures.of(question, identity, self._looked.track)

    def _follows(self, identity: str) -> bool:
        """Tell whether the question before was about the screen, lately, and of the same person."""
        before = self._looked
        return before is not None and before.by == identity and self._wall_clock() - before.at_s <= FOLLOWS_WITHIN_S
