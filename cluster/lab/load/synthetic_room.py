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

OPEN_AGAIN_S = 1.0
DRAIN_S = 10.0
MAX_QUESTIONS = 4
QUESTION = "What is on the screen now, and what changed a minute ago?"


@dataclass(frozen=True, slots=True, kw_only=True)
class DueFrame:
    """A kept frame, and the moment it was due: its latency counts from there, whenever it was really sent."""

    due_s: float
    sent: KeptFrame = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedRequest:
    """One request: when it was sent, when its answer was whole, and how much of that was the vendor's."""

    started_s: float
    ended_s: float
    vendor_s: float = 0.0

    @property
    def vendor_share(self) -> float:
        took_s = self.ended_s - self.started_s
        return min(self.vendor_s / took_s, 1.0) if took_s > 0 else 0.0


@dataclass(slots=True)
class FrameSchedule:
    """The moments at which a room's frames are due: fixed by its join and its rate, independent of earlier frames."""

    due_s: float

    def next(self, frames_per_second: float) -> float:
        """Return when a frame is due; the one after it is a period later, however late this one is looked at."""
        due_s = self.due_s
        self.due_s += 1 / frames_per_second
        return due_s


def question_times(join_at_s: float, leave_at_s: float, every_s: float, seed: tuple[int, int]) -> list[float]:
    """Return when a room's questions are due: exponential, and the same for the same seed."""
    rng = np.random.default_rng(seed)
    times, at_s = [], join_at_s
    while (at_s := at_s + float(rng.exponential(every_s))) < leave_at_s:
        times.append(at_s)
    return times


def own_s(due_s: float, exchange: TimedRequest, before: TimedRequest | None) -> float:
    """Return how much of an answer's time, counted from the moment the frame was due, was not the vendor's.

    Of the time it waited for the answer before it, as large a share is the vendor's as of that answer's time.
    """
    vendor_s = exchange.vendor_s
    if before is not None:
        waited_s = min(before.ended_s, exchange.started_s) - max(due_s, before.started_s)
        vendor_s += max(0.0, waited_s) * before.vendor_share
    return max(0.0, exchange.ended_s - due_s - vendor_s)


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
        place: RoomPlan,
        screen: RoomScreen,
        router: TimedRouterClient,
        tally: Tally,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        pace: RateControl | None,
    ) -> None:
        self._place = place
        self._screen = screen
        self._router = router
        self._tally = tally
        self._clock = clock
        self._wall_clock = wall_clock
        self._pace = pace
        self._slot = UploadSlot[DueFrame]()
        self._counters = Counters(tracks_watched=1)
        self._opened = asyncio.Event()
        self._before: TimedRequest | None = None
        self._watching: asyncio.Task[None] | None = None
        self._over = False
        self._asking: set[asyncio.Task[None]] = set()

    def end(self) -> None:
        """Leave now instead of when it was planned."""
        self._over = True
        if self._watching is not None:
            self._watching.cancel()

    async def run(self) -> None:
        """Attend; returns once the requests in flight at the leave have ended, and the room is closed."""
        if self._over:
            return
        self._watching = asyncio.create_task(self._watch())
        attending = asyncio.create_task(self._attend())
        asking = asyncio.create_task(self._ask_questions())
        sending = asyncio.create_task(self._send())
        try:
            await asyncio.wait({self._watching})
            await self._drain(sending)
            if not self._over:
                await self._until(self._place.leave_at_s + self._place.closes_after_s)
        finally:
            for task in (self._watching, attending, asking, sending, *self._asking):
                task.cancel()
            await self._close()

    async def _watch(self) -> None:
        place = self._place
        await self._until(place.join_at_s)
        self._tally.rooms += 1
        try:
            beat = FrameSchedule(place.join_at_s)
            while beat.due_s < place.leave_at_s:
                due_s = beat.next(self._pace.fps if self._pace else place.frames_per_second)
                await self._until(due_s)
                await self._look(due_s)
            await self._until(place.leave_at_s)
        finally:
            self._tally.rooms -= 1

    async def _look(self, due_s: float) -> None:
        late_s = self._clock() - due_s
        frame = await self._screen.look(due_s - self._place.join_at_s, self._wall_clock())
        self._counters.frames_seen += 1
        self._tally.saw(due_s, self._place.tenant, frame is None, late_s)
        if frame is None:
            self._counters.frames_repeated += 1
            return
        self._counters.frames_kept += 1
        replaced = self._slot.offer(DueFrame(due_s=due_s, sent=frame))
        if replaced is not None:
            self._shed(replaced, FrameOutcome.SHED)

    async def _send(self) -> None:
        await self._opened.wait()
        while (frame := await self._slot.next()) is not None:
            if self._pace is not None and not self._pace.open(self._clock()):
                self._lose(frame, FrameOutcome.SHED)
                continue
            await self._describe(frame)

    async def _describe(self, frame: DueFrame) -> None:
        started_s, ended = self._clock(), False
        try:
            reply = await self._router.describe_timed(frame.sent.jpeg, frame.sent.headers)
            self._answered(frame, started_s, reply)
            ended = True
        except RouterError as error:
            ended = True
            await self._refused(frame, error)
        finally:
            if not ended:
                self._shed(frame, FrameOutcome.FAILED)

    def _answered(self, frame: DueFrame, started_s: float, reply: TimedAnswer) -> None:
        exchange = TimedRequest(started_s=started_s, ended_s=self._clock(), vendor_s=reply.vendor_s)
        answer = Timed(
            whole_s=exchange.ended_s - frame.due_s,
            own_s=own_s(frame.due_s, exchange, self._before),
            cost_nanousd=reply.cost_nanousd,
            output_tokens=reply.output_tokens,
        )
        self._before = exchange
        self._tally.frame(frame.due_s, self._place.tenant, FrameOutcome.ANSWERED, answer)
        took_s = exchange.ended_s - started_s
        self._counters.answered(took_s)
        if self._pace is not None:
            self._pace.answered(took_s)

    async def _refused(self, frame: DueFrame, error: RouterError) -> None:
        if self._pace is not None:
            self._pace.refused(self._clock(), error.retry_after_s)
        self._lose(frame, FrameOutcome.SHED if turned_away(error) else FrameOutcome.FAILED)
        self._before = None
        if isinstance(error, TokenExpired):
            self._opened.clear()
            await self._open()

    def _lose(self, frame: DueFrame, outcome: FrameOutcome) -> None:
        self._shed(frame, outcome)
        self._screen.forget()

    def _shed(self, frame: DueFrame, outcome: FrameOutcome) -> None:
        self._counters.frames_shed += 1
        self._tally.frame(frame.due_s, self._place.tenant, outcome)

    async def _attend(self) -> None:
        await self._until(self._place.join_at_s)
        beat_every_s = await self._open()
        # Rooms that join at once do not beat at once: their joins' parts of a second are random.
        await asyncio.sleep(self._place.join_at_s % 1.0 * beat_every_s)
        while True:
            with contextlib.suppress(RouterError):
                await self._router.beat(self._counters.report())
            await asyncio.sleep(beat_every_s)

    async def _open(self) -> float:
        """Open the room, again and again until the app does; returns the interval of its heartbeats in seconds."""
        while True:
            try:
                opened = await self._router.open()
            except RouterError:
                await asyncio.sleep(OPEN_AGAIN_S)
                continue
            self._opened.set()
            return opened.limits.heartbeat_every_s

    async def _ask_questions(self) -> None:
        for due_s in self._place.questions_at_s:
            await self._until(due_s)
            if len(self._asking) >= MAX_QUESTIONS:
                self._tally.question(due_s, self._place.tenant, FrameOutcome.SHED)
                continue
            asking = asyncio.create_task(self._ask(due_s))
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)

    async def _ask(self, due_s: float) -> None:
        await self._opened.wait()
        try:
            reply = await self._router.ask(QUESTION)
        except RouterError as error:
            outcome = FrameOutcome.SHED if turned_away(error) else FrameOutcome.FAILED
            self._tally.question(due_s, self._place.tenant, outcome)
            return
        whole_s = reply.first_at_s - due_s
        answer = Timed(whole_s=whole_s, own_s=max(0.0, whole_s - reply.vendor_s), cost_nanousd=reply.cost_nanousd)
        self._tally.question(due_s, self._place.tenant, FrameOutcome.ANSWERED, answer)

    async def _drain(self, sending: asyncio.Task[None]) -> None:
        """Wait for the requests in flight; the waiting frame is shed, because the room is over."""
        waiting = self._slot.take()
        if waiting is not None:
            self._shed(waiting, FrameOutcome.SHED)
        self._slot.end()
        if self._opened.is_set():
            await asyncio.wait({sending, *self._asking}, timeout=DRAIN_S)

    async def _close(self) -> None:
        if self._opened.is_set():
            with contextlib.suppress(RouterError):
                await self._router.close()

    async def _until(self, at_s: float) -> None:
        await asyncio.sleep(max(0.0, at_s - self._clock()))
