"""Watch the rooms of a LiveKit cluster, and carry out the decision for each of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from cluster.dispatch.decision import decide
from cluster.dispatch.due_rooms import DueRooms
from cluster.dispatch.livekit_rooms import ListedRoom
from cluster.dispatch.metrics import DispatchMetrics
from cluster.dispatch.models import CreateDispatch, DeleteDispatch, RoomMemory, RoomSnapshot, Step
from cluster.dispatch.workers import WorkerRegistry
from room_agent.core.worker_heartbeat import WorkerHeartbeat
from routing.errors import RayroomError, RoomNameInvalid
from routing.retry import backoff_s
from routing.rooms import RoomName, parse_room

POLL_S = 1.0
LONGEST_PAUSE_S = 5.0
"""The pause after failed polls in a row; so long after an outage of LiveKit all rooms are looked at again."""
NET_S = 10.0
"""A room is looked at this often without any event, or less often where that were more than `NET_LOOKS_PER_S`."""
NET_LOOKS_PER_S = 100.0
CHECK_WORKERS_S = 0.5
CONCURRENT_LOOKS = 16
FAILED_LOOK_S = 1.0
BUSY_LOOK_S = 0.1
READY_S = 15.0
CLOSE_TIMEOUT_S = 6.0

log = structlog.get_logger()


class WatchedRooms(Protocol):
    """The rooms of a LiveKit cluster."""

    async def list_rooms(self) -> dict[str, ListedRoom]: ...

    async def snapshot(self, name: RoomName) -> RoomSnapshot | None: ...

    async def apply(self, room: str, step: Step) -> None: ...


class Dispatcher:
    """Looks at each room after an event, and now and then without one. One look at a room at a time.

    An event only says when to look: the state is always read from LiveKit, so that lost, repeated and reordered events
    do no harm.
    """

    def __init__(
        self, rooms: WatchedRooms, metrics: DispatchMetrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rooms = rooms
        self._metrics = metrics
        self._clock = clock
        self._workers = WorkerRegistry()
        self._listed: dict[str, ListedRoom] = {}
        self._memory: dict[str, RoomMemory] = {}
        self._due = DueRooms()
        self._woken = asyncio.Event()
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._polled_at_s: float | None = None

    @property
    def ready(self) -> bool:
        """Return whether LiveKit answered lately."""
        return self._polled_at_s is not None and self._clock() - self._polled_at_s < READY_S

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._poll(), name="poll")
                tasks.create_task(self._check_workers(), name="check workers")
                tasks.create_task(self._look_at_due_rooms(), name="looks")
        finally:
            looks = set(self._looks.values())
            for look in looks:
                look.cancel()
            if looks:
                await asyncio.wait(looks, timeout=CLOSE_TIMEOUT_S)

    def look_soon(self, rooms: Iterable[str]) -> None:
        """Look at these rooms as soon as possible."""
        now_s = self._clock()
        for room in rooms:
            if _tenant_room(room) is not None:
                self._due.add(room, now_s)
        self._woken.set()

    def disconnect(self, connection: int) -> None:
        """Record the end of a worker's connection."""
        self._workers.disconnect(connection, self._clock())

    def report(self, beat: WorkerHeartbeat, connection: int) -> None:
        """Record a worker's heartbeat, and look at the rooms whose agents ended or drain."""
        rooms = self._workers.report(beat, connection, self._clock())
        if rooms:
            log.info(
                "worker changed", worker=beat.worker, draining=beat.draining, stopped=beat.stopped, rooms=len(rooms)
            )
            self.look_soon(rooms)

    async def _poll(self) -> None:
        failures = 0
        while True:
            started_s = self._clock()
            try:
                self._compare(await self._rooms.list_rooms())
                failures = 0
            except RayroomError as error:
                failures += 1
                self._failed(error)
            took_s = self._clock() - started_s
            pause_s = backoff_s(failures, POLL_S, LONGEST_PAUSE_S) if failures else max(POLL_S, 10 * took_s)
            await asyncio.sleep(pause_s)

    def _compare(self, listed: dict[str, ListedRoom]) -> None:
        """Look at the rooms that are new or changed since the last poll, and forget the closed ones."""
        listed = {name: room for name, room in listed.items() if _tenant_room(name) is not None}
        changed = [name for name, room in listed.items() if self._listed.get(name) != room]
        for name in self._memory.keys() - listed.keys():
            del self._memory[name]
            self._due.discard(name)
        self._listed, self._polled_at_s = listed, self._clock()
        self._show()
        self.look_soon(changed)

    def _show(self) -> None:
        waiting = (memory for memory in self._memory.values() if memory.unattended_since_s is not None)
        self._metrics.rooms.set(len(self._listed))
        self._metrics.unattended_rooms.set(sum(1 for _ in waiting))
        self._metrics.workers.set(len(self._workers.workers))
        self._metrics.refused_workers.set(self._workers.refused)
        self._metrics.dropped_rooms.set(self._due.dropped)

    async def _check_workers(self) -> None:
        while True:
            await asyncio.sleep(CHECK_WORKERS_S)
            for worker, rooms in self._workers.expire(self._clock()).items():
                log.warning("worker lost", worker=worker, rooms=len(rooms))
                self._metrics.lost_workers.inc()
                self.look_soon(rooms)

    async def _look_at_due_rooms(self) -> None:
        while True:
            self._woken.clear()
            now_s = self._clock()
            while len(self._looks) < CONCURRENT_LOOKS and (room := self._due.pop(now_s)) is not None:
                if room in self._looks:
                    # Its state may have been read before the event: look once more when this look is done.
                    self._due.add(room, now_s + BUSY_LOOK_S)
                else:
                    self._start_look(room)
            await self._wait_for_due_room()

    async def _wait_for_due_room(self) -> None:
        next_s = self._due.next_s() if len(self._looks) < CONCURRENT_LOOKS else None
        timeout_s = LONGEST_PAUSE_S if next_s is None else max(0.0, next_s - self._clock())
        try:
            async with asyncio.timeout(timeout_s):
                await self._woken.wait()
        except TimeoutError:
            return

    def _start_look(self, room: str) -> None:
        look = asyncio.create_task(self._look(room), name="look")
        self._looks[room] = look
        look.add_done_callback(lambda task: self._on_look_done(room, task))

    def _on_look_done(self, room: str, task: asyncio.Task[None]) -> None:
        del self._looks[room]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("look failed", room=room, error=type(error).__name__, exc_info=error)
            self._due.add(room, self._clock() + FAILED_LOOK_S)
        self._woken.set()

    async def _look(self, room: str) -> None:
        self._metrics.looks.inc()
        try:
            await self._decide(parse_room(room))
        except RayroomError as error:
            self._failed(error, room)
            self._due.add(room, self._clock() + FAILED_LOOK_S)

    async def _decide(self, name: RoomName) -> None:
        room = name.room
        snapshot = await self._rooms.snapshot(name)
        if snapshot is None:
            self._memory.pop(room, None)
            return
        now_s = self._clock()
        decision = decide(snapshot, self._memory.get(room, RoomMemory()), self._workers.liveness, now_s)
        # Before the steps: a creation that fails half-way counts as an attempt.
        self._memory[room] = decision.memory
        if decision.unattended_s is not None:
            log.info("room attended", room=room, after_s=round(decision.unattended_s, 2))
            self._metrics.unattended_seconds.observe(decision.unattended_s)
        net_s = max(NET_S, len(self._listed) / NET_LOOKS_PER_S)
        self._due.add(room, now_s + net_s if decision.look_again_s is None else decision.look_again_s)
        for step in decision.steps:
            await self._apply(room, step)

    async def _apply(self, room: str, step: Step) -> None:
        await self._rooms.apply(room, step)
        if isinstance(step, CreateDispatch):
            log.info("agent dispatched", room=room, replaces=step.replaces or None)
            self._metrics.steps.labels("create", "hand-over" if step.replaces else "unattended").inc()
        elif isinstance(step, DeleteDispatch):
            log.info("dispatch deleted", room=room, dispatch=step.id, reason=step.reason)
            self._metrics.steps.labels("delete", step.reason).inc()
        else:
            log.info("agent removed", room=room, agent=step.identity, reason=step.reason)
            self._metrics.steps.labels("remove", step.reason).inc()

    def _failed(self, error: RayroomError, room: str | None = None) -> None:
        log.warning("livekit call failed", room=room, detail=error.message)
        self._metrics.failures.labels(error.code).inc()


def _tenant_room(room: str) -> RoomName | None:
    try:
        return parse_room(room)
    except RoomNameInvalid:
        return None
