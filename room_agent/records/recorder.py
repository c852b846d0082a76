"""Records one room's meeting, where its tenant wants that: utterances, descriptions, answers and tool calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import structlog
from pydantic import ValidationError

from room_agent.core.models import FrameDescribed
from room_agent.core.router_client import RouterClient
from room_agent.core.tasks import OwnedTasks, log_task_end
from room_agent.records.sender import send_record
from room_agent.records.spool import RecordHeader, RecordSpool, read_spool
from room_agent.usage.job_file import JournaledJob
from routing.models import TenantAgent
from routing.records.models import (
    MAX_LABEL_CHARS,
    MAX_SOURCES,
    Entry,
    EntryKind,
    RecordedAnswer,
    RecordedDescription,
    RecordedToolCall,
    RecordedUtterance,
    at_time,
    cut,
)
from routing.validation import first_error

SEND_TIMEOUT_S = 3.0
"""The time for the record at the end of a job. If it is not enough, the worker's recovery sends the record."""
CLOSE_TIMEOUT_S = 2.0
BEGIN_TIMEOUT_S = 3.0
"""A disk that hangs must not keep the agent from its room."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class MeetingRoom:
    """The room of a meeting at LiveKit: its id, and the UNIX time of its creation, 0 where that is unknown."""

    sid: str
    created_at_s: float


class MeetingRecorder:
    """One agent's record of its meeting. Until `begin`, and where the tenant wants no record, it keeps nothing.

    `clock` is wall-clock time; `directory` is that of the usage journals.
    """

    def __init__(
        self, directory: Path, job: JournaledJob, room: MeetingRoom, name: str, clock: Callable[[], float]
    ) -> None:
        """`name` is the agent's own, unless the tenant gives it another one."""
        self._directory = directory
        self._name = name
        self._job = job
        self._room = room
        self._clock = clock
        self._spool: RecordSpool | None = None
        self._tasks = OwnedTasks(log_task_end)

    async def begin(self, agent: TenantAgent) -> None:
        """Begin the record if the tenant's agent is to keep one."""
        if agent.record != "report" or self._spool is not None:
            return
        now_s = self._clock()
        header = RecordHeader(
            record_id=self._room.sid,
            started_at_s=min(self._room.created_at_s or now_s, now_s),
            joined_at_s=now_s,
            agent_name=_label(agent.names[0] if agent.names else self._name),
            retention_days=agent.retention_days,
        )
        try:
            async with asyncio.timeout(BEGIN_TIMEOUT_S):
                self._spool = await asyncio.to_thread(RecordSpool.create, self._directory, self._job, header)
        except OSError as error:
            # A timeout is one, without a text.
            log.error("meeting record not begun", error=error.strerror or "the disk is too slow")
            return
        self._tasks.start(self._spool.keep_synced(), "meeting record")

    def add_utterance(self, identity: str, name: str, text: str, medium: Literal["speech", "chat"]) -> None:
        """Record a final transcript or a chat message."""
        self._add(
            RecordedUtterance,
            at=at_time(self._clock()),
            identity=_label(identity),
            name=_label(name),
            medium=medium,
            text=cut(text),
        )

    def add_description(self, event: FrameDescribed) -> None:
        """Record the description of a frame. One that is used again says nothing new."""
        if event.reused:
            return
        track, answer = event.track, event.answer
        self._add(
            RecordedDescription,
            at=at_time(event.frame.captured_at_s),
            identity=_label(track.identity),
            name=_label(track.shared_by),
            source=track.source,
            text=cut(answer.description),
            model=_label(answer.model),
            cost_nanousd=answer.cost_nanousd,
            simulated=answer.simulated,
        )

    def add_answer(
        self,
        identity: str,
        name: str,
        text: str,
        sources: tuple[str, ...],
        took_s: float,
        *,
        interrupted: bool,
        failed: bool,
    ) -> None:
        """Record an answer that has just ended, `took_s` after its question."""
        now_s = self._clock()
        self._add(
            RecordedAnswer,
            at=at_time(now_s),
            asked_at=at_time(now_s - took_s),
            identity=_label(identity),
            name=_label(name),
            text=cut(text),
            sources=tuple(map(_label, sources[:MAX_SOURCES])),
            interrupted=interrupted,
            failed=failed,
        )

    def add_tool_call(self, name: str, outcome: str, took_s: float, cost_nanousd: int = 0) -> None:
        """Record a tool call that has just ended: neither its arguments nor its result."""
        self._add(
            RecordedToolCall,
            at=at_time(self._clock()),
            name=_label(name),
            outcome=_label(outcome),
            duration_ms=round(1_000 * took_s),
            cost_nanousd=cost_nanousd,
        )

    def _add(self, kind: type[Entry], **fields: Any) -> None:
        """Append an entry. A wrong field loses the entry, and never the conversation."""
        if self._spool is None:
            return
        name: EntryKind = kind.model_fields["kind"].default
        try:
            self._spool.add(name, kind(**fields))
        except ValidationError as error:
            log.error("entry of the meeting record invalid", kind=name, field=first_error(error)[0])
            self._spool.leave_out(name)

    def report(self) -> dict[str, float]:
        """Return the counters of a heartbeat; none without a record."""
        if self._spool is None:
            return {}
        return {"record_entries": self._spool.entries, "record_left_out": self._spool.left_out.total()}

    async def aclose(self, router: RouterClient | None) -> None:
        """End the record and send it; without a router, or where that fails, the worker's recovery sends it."""
        spool, self._spool = self._spool, None
        if spool is None:
            return
        spool.end(self._clock())
        await self._tasks.aclose(CLOSE_TIMEOUT_S)
        done = False
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                record = await asyncio.to_thread(read_spool, spool.path)
                if record is not None and router is not None:
                    done = await send_record(router, record, self._clock()) == "done"
        except (OSError, TimeoutError) as error:
            log.warning("meeting record not sent yet", error=type(error).__name__)
        finally:
            spool.close(delete=done)


def _label(text: str) -> str:
    return cut(text, MAX_LABEL_CHARS)
