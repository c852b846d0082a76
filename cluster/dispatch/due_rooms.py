"""A queue of rooms by the time of their next look. A room is in it once, at its earliest time."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

MAX_ROOMS = 200_000


@dataclass(slots=True)
class DueRooms:
    """The rooms to look at. Beyond `MAX_ROOMS` a room is dropped and counted; the next poll brings it back."""

    dropped: int = 0
    _due_s: dict[str, float] = field(default_factory=dict)
    _heap: list[tuple[float, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._due_s)

    def add(self, room: str, at_s: float) -> None:
        """Look at the room at `at_s`, or earlier if it is due earlier."""
        due_s = self._due_s.get(room)
        if due_s is not None and due_s <= at_s:
            return
        if due_s is None and len(self._due_s) >= MAX_ROOMS:
            self.dropped += 1
            return
        self._due_s[room] = at_s
        heapq.heappush(self._heap, (at_s, room))
        if len(self._heap) > 2 * len(self._due_s) + 1_000:
            self._heap = [(due, name) for name, due in self._due_s.items()]
            heapq.heapify(self._heap)

    def discard(self, room: str) -> None:
        """Take the room out of the queue."""
        self._due_s.pop(room, None)

    def pop(self, now_s: float) -> str | None:
        """Return a room that is due, or None."""
        at_s = self.next_s()
        if at_s is None or at_s > now_s:
            return None
        _, room = heapq.heappop(self._heap)
        del self._due_s[room]
        return room

    def next_s(self) -> float | None:
        """Return the earliest time at which a room is due."""
        while self._heap and self._due_s.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
