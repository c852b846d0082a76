"""Builds the prompt of each turn from a room's screen memory, newest pictures, remarks and knowledge base."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import structlog

from room_agent.context.pictures import TrackPicture, TrackPictures, longest_sides_px
from room_agent.context.prompt import AgentManner, PromptQuestion, Remark, Turn, compose
from room_agent.context.retrieval import KnowledgeRetrieval
from room_agent.context.screen_memory import EDITS, ScreenMemory, StoredScreens
from room_agent.core.models import FrameDescribed, FrameKept, KeptFrame, TrackEnded
from routing.models import Passage

BUDGET_TOKENS = 6_000
MAX_REMARKS = 60
CURRENT_FRAME_TIMEOUT_S = 0.5
"""The wait for the pictures as they are now; a turn has the last kept one of each track that is later."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationContext:
    """The part of a room's context that outlives its agent: the memory of its screens, and the last remarks."""

    screens: StoredScreens
    remarks: tuple[Remark, ...]


class ContextBuilder:
    """The context of one room."""

    def __init__(self, knowledge: KnowledgeRetrieval, agent: AgentManner, wall_clock: Callable[[], float]) -> None:
        self.knowledge = knowledge
        self.agent = agent
        self.searches_first = True
        """Whether each turn has passages; otherwise the model searches for them with a tool."""
        self._wall_clock = wall_clock
        self._memory = ScreenMemory()
        self._remarks: deque[Remark] = deque(maxlen=MAX_REMARKS)
        self._pictures = TrackPictures()
        self.current_frame: Callable[[str, int], Awaitable[KeptFrame | None]] | None = None
        """Returns the picture that a track shows now, by the track's id, with its long side at most so many pixels."""

    def stored(self) -> ConversationContext:
        """Return the context for a successor. Pictures are not part of it: the successor sees them itself."""
        return ConversationContext(screens=self._memory.stored(), remarks=tuple(self._remarks))

    def restore(self, context: ConversationContext) -> None:
        """Put the context of a predecessor before everything seen and said since."""
        self._memory.restore(context.screens)
        self._remarks = deque((*context.remarks, *self._remarks), maxlen=MAX_REMARKS)

    def on_frame_kept(self, event: FrameKept) -> None:
        """Store a frame that shows something new: a question about it may come before its description."""
        track, frame = event.track, event.frame
        picture = TrackPicture(
            track=track.sid,
            label=self._memory.label(track.sid, track.source, track.shared_by),
            source=track.source,
            identity=track.identity,
            jpeg=frame.jpeg,
            size_px=frame.size_px,
            changed_at_s=frame.captured_at_s,
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
        if self.searches_first:
            self.knowledge.prefetch(question, identity)

    async def turn(self, question: str, asker: str, identity: str, searches: bool = False) -> Turn:
        """Return the prompt for `question`. The pictures and the knowledge search delay it side by side.

        `searches` is for a turn whose model has no tool to search with.
        """
        remarks = list(self._remarks)
        pictures, passages = await asyncio.gather(
            self._pictures_now(identity), self._passages(question, identity, searches)
        )
        prompt_question = PromptQuestion(
            text=question,
            asker=asker,
            now_s=self._wall_clock(),
            memory=self._memory,
            passages=passages,
            remarks=remarks,
            pictures=pictures,
        )
        key = secrets.token_hex(8)
        return compose(prompt_question, key, BUDGET_TOKENS, self.agent)

    async def _passages(self, question: str, identity: str, searches: bool) -> tuple[Passage, ...]:
        if not (self.searches_first or searches):
            return ()
        return await self.knowledge.finish(question, identity).passages()

    async def _pictures_now(self, identity: str) -> list[TrackPicture]:
        """Return the pictures for a turn as they are now: they may have changed since a frame was last kept."""
        pictures = self._pictures.of_turn(identity)
        deadline_s = asyncio.get_running_loop().time() + CURRENT_FRAME_TIMEOUT_S
        return await asyncio.gather(
            *(
                self._picture_now(picture, longest_px, deadline_s)
                for picture, longest_px in zip(pictures, longest_sides_px(pictures), strict=True)
            )
        )

    async def _picture_now(self, picture: TrackPicture, longest_px: int, deadline_s: float) -> TrackPicture:
        if self.current_frame is None:
            return picture
        try:
            async with asyncio.timeout_at(deadline_s):
                frame = await self.current_frame(picture.track, longest_px)
        except TimeoutError:
            return picture
        except Exception as error:
            # No traceback: its values may hold the picture.
            log.error("picture not encoded", track=picture.track, error=type(error).__name__)
            return picture
        return picture if frame is None else replace(picture, jpeg=frame.jpeg, size_px=frame.size_px)
