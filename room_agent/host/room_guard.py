"""Ends a room that stalls or spins in a process shared with other rooms, and the process where that is not enough.

Python cannot kill a thread. It can raise SystemExit in one, which ends a loop of Python code but not a call into a
native library. In that case, and where the process leaks, the worker drains itself: its other rooms are handed over.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache

import psutil
import structlog

CHECK_EVERY_S = 2.0
STALLED_S = 10.0
"""A loop that has run nothing for so long stalls. A look takes milliseconds, and runs in a thread of its own."""
SPIN_S, SPIN_SHARE = 30.0, 0.8
"""A loop that took this share of a core for so long spins: a watched room takes 0.03 (`make bench-agents`)."""
NEXT_STEP_S = 20.0
"""The time that a step has to take effect. A room that leaves reports its last usage within 15 s."""
LATE_S = 1.0
"""A guard that is so late itself was stalled with the whole process, and no loop is to blame."""
BASE_MB, ROOM_MB, LEAST_MB = 400.0, 150.0, 1_500.0
"""A process above BASE_MB and ROOM_MB a room leaks: three times an empty process, and the largest room measured."""

log = structlog.get_logger()


class GuardStep(StrEnum):
    """The next step against one room."""

    NONE = "none"
    LEAVE = "leave"
    KILL = "kill"
    RETIRE = "retire"


@dataclass(slots=True)
class RoomHealth:
    """The responses of one room's loop and the processor time of its thread."""

    answered_s: float
    used: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=64))
    step: GuardStep = GuardStep.NONE
    stepped_s: float = 0.0

    def judge(self, cpu_s: float, now_s: float) -> GuardStep:
        """Return the step to take now; each is taken once, and the next one where it did not help."""
        self.used.append((now_s, cpu_s))
        while now_s - self.used[0][0] > SPIN_S + CHECK_EVERY_S:
            self.used.popleft()
        wanted = self._wanted(now_s)
        if wanted is not GuardStep.NONE:
            self.step, self.stepped_s = wanted, now_s
        return wanted

    def _wanted(self, now_s: float) -> GuardStep:
        if self.step is GuardStep.RETIRE:
            return GuardStep.NONE
        if self.step is not GuardStep.NONE and now_s - self.stepped_s >= NEXT_STEP_S:
            return GuardStep.KILL if self.step is GuardStep.LEAVE else GuardStep.RETIRE
        if self.step is GuardStep.KILL:
            return GuardStep.NONE
        if now_s - self.answered_s >= STALLED_S:
            return GuardStep.KILL
        return GuardStep.LEAVE if self.step is GuardStep.NONE and self._spins(now_s) else GuardStep.NONE

    def _spins(self, now_s: float) -> bool:
        at_s, cpu_s = self.used[0]
        return now_s - at_s >= SPIN_S and self.used[-1][1] - cpu_s >= SPIN_SHARE * (now_s - at_s)


def leaks(used_mb: float, rooms: int) -> bool:
    """Return whether a process with so many rooms uses more memory than they can need."""
    return used_mb > max(LEAST_MB, BASE_MB + ROOM_MB * rooms)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedRoom:
    """A room of this process: its thread, its loop, and the way to leave it."""

    room: str
    thread: threading.Thread
    loop: asyncio.AbstractEventLoop
    leave: Callable[[str], None]
    health: RoomHealth


class RoomGuard:
    """The guard of this process, in a thread of its own from the first room on. `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float], retire: Callable[[], None]) -> None:
        self._clock = clock
        self._retire = retire
        self._lock = threading.Lock()
        self._rooms: dict[str, GuardedRoom] = {}
        self._thread: threading.Thread | None = None
        self._checked_s: float | None = None
        self.retired = False
        """Whether the process drains because a room could not be ended, or because it leaks."""

    def watch(self, job: str, room: str, leave: Callable[[str], None]) -> None:
        """Guard the room of the calling thread until that ends. `leave` is called on the thread's running loop."""
        guarded = GuardedRoom(
            room=room,
            thread=threading.current_thread(),
            loop=asyncio.get_running_loop(),
            leave=leave,
            health=RoomHealth(answered_s=self._clock()),
        )
        with self._lock:
            self._rooms[job] = guarded
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="room guard", daemon=True)
                self._thread.start()

    def check(self, cpu_s: dict[int, float], used_mb: float) -> None:
        """Take the next step against each room. `cpu_s` is the processor time by native thread id."""
        now_s = self._clock()
        with self._lock:
            before = len(self._rooms)
            self._rooms = {job: one for job, one in self._rooms.items() if one.thread.is_alive()}
            rooms = list(self._rooms.values())
        if len(rooms) < before:
            _release_memory()
        paused_s = 0.0 if self._checked_s is None else now_s - self._checked_s - CHECK_EVERY_S
        self._checked_s = now_s
        for one in rooms:
            if paused_s >= LATE_S:
                one.health.answered_s = now_s
            step = one.health.judge(cpu_s.get(one.thread.native_id or 0, 0.0), now_s)
            if step is not GuardStep.NONE:
                log.error("room ended by its guard", room=one.room, step=step.value)
                self._take(step, one)
            _call_soon(one.loop, self._answered, one)
        if leaks(used_mb, len(rooms)) and not self.retired:
            log.error("worker drains because it leaks", used_mb=round(used_mb), rooms=len(rooms))
            self._retire_once()

    def _take(self, step: GuardStep, one: GuardedRoom) -> None:
        if step is GuardStep.LEAVE:
            _call_soon(one.loop, one.leave, "room spins")
        elif step is GuardStep.KILL:
            _raise_exit_in(one.thread)
        elif step is GuardStep.RETIRE:
            self._retire_once()

    def _answered(self, one: GuardedRoom) -> None:
        one.health.answered_s = self._clock()

    def _retire_once(self) -> None:
        if not self.retired:
            self.retired = True
            self._retire()

    def _run(self) -> None:
        process = psutil.Process()
        while True:
            time.sleep(CHECK_EVERY_S)
            try:
                cpu_s = {one.id: one.user_time + one.system_time for one in process.threads()}
                self.check(cpu_s, process.memory_info().rss / 1e6)
            except Exception as error:
                log.error("room guard failed", error=type(error).__name__, exc_info=error)


@cache
def process_guard() -> RoomGuard:
    """Return the guard of this process. It retires the worker as Kubernetes does: by SIGTERM."""
    return RoomGuard(time.monotonic, lambda: os.kill(os.getpid(), signal.SIGTERM))


def _call_soon(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *arguments: object) -> None:
    try:
        loop.call_soon_threadsafe(call, *arguments)
    except RuntimeError:
        # The loop of a room that was left just now is closed.
        return


def _release_memory() -> None:
    """Collect the rooms that were left, which hold their connections and decoders, and return their memory."""
    gc.collect()
    # Only glibc has it; other allocators return memory by themselves.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _raise_exit_in(thread: threading.Thread) -> None:
    """Raise SystemExit in a thread: it ends the thread's event loop, and no other one."""
    if thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))
