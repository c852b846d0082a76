"""Run one synthetic room: open, heartbeats, frames, questions, close, as its agent would without WebRTC."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from cluster.lab.load.room_screen import RoomScreen
from cluster.lab.load.tally import FrameOutcome, Tally, Timed
from cluster.lab.load.timed_client import TimedAnswer, TimedRouterClient, turned_away
from room_agent.core.counters import Counters
from room_agent.core.models import KeptFrame
from room_agent.core.router_errors import RouterError, TokenExpired
from room_agent.video.rate_control import RateControl
from room_agent.video.uploader import UploadSlot

REOPEN_AFTER_S = 1.0
DRAIN_S = 10.0
MAX_QUESTIONS = 4
QUESTION = "What is on the screen now, and what changed a minute ago?"


@dataclass(frozen=True, slots=True, kw_only=True)
class DueFrame:
    """A kept frame and the moment it was due. Its latency counts from that moment, not from the actual send."""

    due_s: float
    kept: KeptFrame = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedRequest:
    """One request: its start, the end of its response, and the part of the time spent at the vendor."""

    started_s: float
    ended_s: float
    vendor_s: float = 0.0

    @property
    def vendor_share(self) -> float:
        elapsed_s = self.ended_s - self.started_s
        return min(self.vendor_s / elapsed_s, 1.0) if elapsed_s > 0 else 0.0


@dataclass(slots=True)
class FrameSchedule:
    """The moments at which a room's frames are due: fixed by its join and its rate, independent of earlier frames."""

    due_s: float

    def next(self, frames_per_second: float) -> float:
        """Return the time at which a frame is due; the next is one period later, however late this one is captured."""
        due_s = self.due_s
        self.due_s += 1 / frames_per_second
        return due_s


def question_times(join_at_s: float, leave_at_s: float, every_s: float, seed: tuple[int, int]) -> list[float]:
    """Return the times of a room's questions: with exponential gaps, deterministic for a seed."""
    rng = np.random.default_rng(seed)
    times, at_s = [], join_at_s
    while (at_s := at_s + float(rng.exponential(every_s))) < leave_at_s:
        times.append(at_s)
    return times


def own_s(due_s: float, request: TimedRequest, previous: TimedRequest | None) -> float:
    """Return the part of a response time, counted from the moment the frame was due, without the vendor's part.

    A wait for the previous response is split by the vendor's share of that response.
    """
    vendor_s = request.vendor_s
    if previous is not None:
        waited_s = min(previous.ended_s, request.started_s) - max(due_s, previous.started_s)
        vendor_s += max(0.0, waited_s) * previous.vendor_share
    return max(0.0, request.ended_s - due_s - vendor_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomPlan:
    """A room's identity and the moments of its actions, in seconds from the start of the load."""

    room: str
    tenant: int
    tenant_id: str
    job_id: str
    join_at_s: float
    leave_at_s: float
    frames_per_second: float
    questions_at_s: Sequence[float] = ()
    closes_after_s: float = 0.0
    """The delay between leave and close: at the end of the load all rooms leave at once, which must not be measured."""


class SyntheticRoom:
    """A room from its join to its leave. Its requests are counted, and raise nothing.

    With a `pace` it slows down as an agent does when the app sheds; without one it offers every due frame (open loop),
    so that a slow app does not receive fewer requests.
    """

    def __init__(
        self,
        plan: RoomPlan,
        screen: RoomScreen,
        router: TimedRouterClient,
        tally: Tally,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        pace: RateControl | None,
    ) -> None:
        self._plan = plan
        self._screen = screen
        self._router = router
        self._tally = tally
        self._clock = clock
        self._wall_clock = wall_clock
        self._pace = pace
        self._slot = UploadSlot[DueFrame]()
        self._counters = Counters(tracks_watched=1)
        self._opened = asyncio.Event()
        self._previous: TimedRequest | None = None
        self._watch_task: asyncio.Task[None] | None = None
        self._ended = False
        self._question_tasks: set[asyncio.Task[None]] = set()

    def end(self) -> None:
        """Leave now instead of at the planned time."""
        self._ended = True
        if self._watch_task is not None:
            self._watch_task.cancel()

    async def run(self) -> None:
        """Run until the room is closed, after the requests in flight at its leave have ended."""
        if self._ended:
            return
        self._watch_task = asyncio.create_task(self._watch())
        attend_task = asyncio.create_task(self._attend())
        ask_task = asyncio.create_task(self._ask_questions())
        send_task = asyncio.create_task(self._send())
        try:
            await asyncio.wait({self._watch_task})
            await self._drain(send_task)
            if not self._ended:
                await self._until(self._plan.leave_at_s + self._plan.closes_after_s)
        finally:
            for task in (self._watch_task, attend_task, ask_task, send_task, *self._question_tasks):
                task.cancel()
            await self._close()

    async def _watch(self) -> None:
        plan = self._plan
        await self._until(plan.join_at_s)
        self._tally.rooms += 1
        try:
            schedule = FrameSchedule(plan.join_at_s)
            while schedule.due_s < plan.leave_at_s:
                due_s = schedule.next(self._pace.fps if self._pace else plan.frames_per_second)
                await self._until(due_s)
                await self._capture(due_s)
            await self._until(plan.leave_at_s)
        finally:
            self._tally.rooms -= 1

    async def _capture(self, due_s: float) -> None:
        late_s = self._clock() - due_s
        frame = await self._screen.capture(due_s - self._plan.join_at_s, self._wall_clock())
        self._counters.frames_seen += 1
        self._tally.add_seen(due_s, self._plan.tenant, frame is None, late_s)
        if frame is None:
            self._counters.frames_repeated += 1
            return
        self._counters.frames_kept += 1
        replaced = self._slot.offer(DueFrame(due_s=due_s, kept=frame))
        if replaced is not None:
            self._shed(replaced, FrameOutcome.SHED)

    async def _send(self) -> None:
        await self._opened.wait()
        while (frame := await self._slot.next()) is not None:
            if self._pace is not None and not self._pace.open(self._clock()):
                self._drop(frame, FrameOutcome.SHED)
                continue
            await self._describe(frame)

    async def _describe(self, frame: DueFrame) -> None:
        started_s, ended = self._clock(), False
        try:
            response = await self._router.describe_timed(frame.kept.jpeg, frame.kept.headers)
            self._record_answer(frame, started_s, response)
            ended = True
        except RouterError as error:
            ended = True
            await self._handle_error(frame, error)
        finally:
            if not ended:
                self._shed(frame, FrameOutcome.FAILED)

    def _record_answer(self, frame: DueFrame, started_s: float, response: TimedAnswer) -> None:
        request = TimedRequest(started_s=started_s, ended_s=self._clock(), vendor_s=response.vendor_s)
        answer = Timed(
            whole_s=request.ended_s - frame.due_s,
            own_s=own_s(frame.due_s, request, self._previous),
            cost_nanousd=response.cost_nanousd,
            output_tokens=response.output_tokens,
        )
        self._previous = request
        self._tally.add_frame(frame.due_s, self._plan.tenant, FrameOutcome.ANSWERED, answer)
        elapsed_s = request.ended_s - started_s
        self._counters.answered(elapsed_s)
        if self._pace is not None:
            self._pace.answered(elapsed_s)

    async def _handle_error(self, frame: DueFrame, error: RouterError) -> None:
        if self._pace is not None:
            self._pace.refused(self._clock(), error.retry_after_s)
        self._drop(frame, FrameOutcome.SHED if turned_away(error) else FrameOutcome.FAILED)
        self._previous = None
        if isinstance(error, TokenExpired):
            self._opened.clear()
            await self._open()

    def _drop(self, frame: DueFrame, outcome: FrameOutcome) -> None:
        self._shed(frame, outcome)
        self._screen.forget()

    def _shed(self, frame: DueFrame, outcome: FrameOutcome) -> None:
        self._counters.frames_shed += 1
        self._tally.add_frame(frame.due_s, self._plan.tenant, outcome)

    async def _attend(self) -> None:
        await self._until(self._plan.join_at_s)
        heartbeat_every_s = await self._open()
        # Rooms that join together send heartbeats at different times: the fractions of their join times are random.
        await asyncio.sleep(self._plan.join_at_s % 1.0 * heartbeat_every_s)
        while True:
            with contextlib.suppress(RouterError):
                await self._router.beat(self._counters.report())
            await asyncio.sleep(heartbeat_every_s)

    async def _open(self) -> float:
        """Open the room, retrying until the app accepts it; return the interval of its heartbeats in seconds."""
        while True:
            try:
                response = await self._router.open()
            except RouterError:
                await asyncio.sleep(REOPEN_AFTER_S)
                continue
            self._opened.set()
            return response.limits.heartbeat_every_s

    async def _ask_questions(self) -> None:
        for due_s in self._plan.questions_at_s:
            await self._until(due_s)
            if len(self._question_tasks) >= MAX_QUESTIONS:
                self._tally.add_question(due_s, self._plan.tenant, FrameOutcome.SHED)
                continue
            task = asyncio.create_task(self._ask(due_s))
            self._question_tasks.add(task)
            task.add_done_callback(self._question_tasks.discard)

    async def _ask(self, due_s: float) -> None:
        await self._opened.wait()
        try:
            response = await self._router.ask(QUESTION)
        except RouterError as error:
            outcome = FrameOutcome.SHED if turned_away(error) else FrameOutcome.FAILED
            self._tally.add_question(due_s, self._plan.tenant, outcome)
            return
        whole_s = response.first_at_s - due_s
        answer = Timed(whole_s=whole_s, own_s=max(0.0, whole_s - response.vendor_s), cost_nanousd=response.cost_nanousd)
        self._tally.add_question(due_s, self._plan.tenant, FrameOutcome.ANSWERED, answer)

    async def _drain(self, send_task: asyncio.Task[None]) -> None:
        """Wait for the requests in flight; the waiting frame is shed, because the room has ended."""
        waiting = self._slot.take()
        if waiting is not None:
            self._shed(waiting, FrameOutcome.SHED)
        self._slot.end()
        if self._opened.is_set():
            await asyncio.wait({send_task, *self._question_tasks}, timeout=DRAIN_S)

    async def _close(self) -> None:
        if self._opened.is_set():
            with contextlib.suppress(RouterError):
                await self._router.close()

    async def _until(self, at_s: float) -> None:
        await asyncio.sleep(max(0.0, at_s - self._clock()))
