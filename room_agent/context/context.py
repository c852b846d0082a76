"""Builds the prompt of each turn from a room's screen memory, latest frames, remarks and knowledge base."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from room_agent.context.latest_frames import LatestFrame, LatestFrames
from room_agent.context.prompt import AgentManner, PromptQuestion, Remark, Turn, compose
from room_agent.context.retrieval import KnowledgeRetrieval
from room_agent.context.screen_memory import EDITS, ScreenMemory
from room_agent.core.models import FrameDescribed, FrameKept, KeptFrame, TrackEnded
from room_agent.intent.screen_question import asks_about_screen

BUDGET_TOKENS = 6_000
MAX_REMARKS = 60
CURRENT_FRAME_TIMEOUT_S = 0.5
"""The wait for the picture as it is now; after that a question is answered from the last kept one."""
FOLLOWS_WITHIN_S = 120.0
"""How long after a question about the screen a follow-up such as "And in March?" is about the screen too."""


@dataclass(frozen=True, slots=True)
class _ScreenQuestion:
    """The last question that came with a frame: its asker, track and time."""

    by: str
    track: str
    at_s: float


class ContextBuilder:
    """The context of one room."""

    def __init__(self, knowledge: KnowledgeRetrieval, agent: AgentManner, wall_clock: Callable[[], float]) -> None:
        self.knowledge = knowledge
        self.agent = agent
        self._wall_clock = wall_clock
        self._memory = ScreenMemory()
        self._remarks: deque[Remark] = deque(maxlen=MAX_REMARKS)
        self._pictures = LatestFrames()
        self._last_screen_question: _ScreenQuestion | None = None
        self.current_frame: Callable[[str], Awaitable[KeptFrame | None]] | None = None
        """Returns the picture that a track shows now, by the track's id."""

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
            event.answer.description if event.whole is None else event.whole,
            frame.captured_at_s,
            source=track.source,
            shared_by=track.shared_by,
            edited=frame.why in EDITS,
        )

    def on_track_ended(self, event: TrackEnded) -> None:
        """Forget the picture of a track that shows nothing more, and close its entry in the memory."""
        self._memory.end(event.track.sid, self._wall_clock())
        self._pictures.end(event.track.sid)

    def add_remark(self, speaker: str | None, text: str) -> None:
        """Store a remark; `speaker` is None for an answer of the agent."""
        self._remarks.append(Remark(speaker=speaker, text=text, at_s=self._wall_clock()))

    def answered(self, text: str, interrupted: bool) -> None:
        """Store an answer of the agent."""
        if text:
            self.add_remark(None, f"{text} … (interrupted)" if interrupted else text)

    def prefetch(self, question: str, identity: str) -> None:
        """Start the knowledge search for an interim question; `turn` reuses it if the final question asks the same."""
        picture = self._picture_for(question, identity)
        self.knowledge.prefetch(question, picture.jpeg if picture is not None else None, identity)

    async def turn(self, question: str, asker: str, identity: str) -> Turn:
        """Return the prompt for `question`. The knowledge search delays it by its deadline at most."""
        follows, picture = self._follows(identity), self._picture_for(question, identity)
        self._last_screen_question = (
            _ScreenQuestion(identity, picture.track, self._wall_clock()) if picture is not None else None
        )
        jpeg, label = (await self._jpeg_now(picture), picture.label) if picture is not None else (None, "")
        remarks = list(self._remarks)
        search = self.knowledge.finish(question, jpeg, identity)
        prompt_question = PromptQuestion(
            text=question,
            asker=asker,
            follows_screen=follows,
            now_s=self._wall_clock(),
            memory=self._memory,
            passages=await search.passages(),
            remarks=remarks,
            frame_jpeg=jpeg,
            frame_of=label,
        )
        key = secrets.token_hex(8)
        return compose(prompt_question, key, BUDGET_TOKENS, self.agent)

    def _picture_for(self, question: str, identity: str) -> LatestFrame | None:
        shown = self._memory.shown_now()
        if asks_about_screen(question, shown):
            return self._pictures.of(question, identity)
        if self._last_screen_question is None or not asks_about_screen(question, shown, self._follows(identity)):
            return None
        return self._pictures.of(question, identity, self._last_screen_question.track)

    async def _jpeg_now(self, picture: LatestFrame) -> bytes:
        """Return the picture of a track as it is now: it may have changed since its last frame was kept."""
        if self.current_frame is None:
            return picture.jpeg
        try:
            async with asyncio.timeout(CURRENT_FRAME_TIMEOUT_S):
                frame = await self.current_frame(picture.track)
        except TimeoutError:
            return picture.jpeg
        return picture.jpeg if frame is None else frame.jpeg

    def _follows(self, identity: str) -> bool:
        """Return whether the same person's previous question was about the screen, and recent."""
        before = self._last_screen_question
        return before is not None and before.by == identity and self._wall_clock() - before.at_s <= FOLLOWS_WITHIN_S
