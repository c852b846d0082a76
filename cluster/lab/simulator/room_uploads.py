"""The frames in flight: one per room, and one waiting that a newer one replaces. Arrays by room."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cluster.lab.scenario.arrivals import Floats, Ints, ScheduledRooms
from cluster.lab.simulator.request_queue import NO_REQUESTS, QueuedRequests


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedFrames:
    """The frames sent now, in order, and the frames shed for a newer one or because their room left."""

    sent: QueuedRequests
    displaced: QueuedRequests


class RoomUploads:
    """The uploaders of all rooms, as in `room_agent.video.uploader`. A room has at most one frame a tick."""

    def __init__(self, rooms: ScheduledRooms) -> None:
        self._leave_at_s = rooms.leave_at_s
        self._free_at_s = np.zeros(len(rooms))
        """The end of the frame in flight; infinite while unknown."""
        self._waits_since_s = np.full(len(rooms), np.nan)
        self._vendor_share = np.zeros(len(rooms))
        """The vendor's part of a room's last answer."""
        self._waiting = np.empty(0, dtype=np.int64)
        """The rooms with a waiting frame; `_is_waiting` marks each of them."""
        self._is_waiting = np.zeros(len(rooms), dtype=np.bool_)
        self.lost = np.zeros(len(rooms), dtype=np.bool_)
        """Rooms whose last frame was lost: their next frame counts as changed."""

    @property
    def oldest_s(self) -> float:
        """The due time of the oldest waiting frame of a room; infinite without one."""
        return float(self._waits_since_s[self._waiting].min(initial=np.inf))

    def offer(self, frames: QueuedRequests, to_s: float) -> OfferedFrames:
        """Take the frames of a tick, and waiting frames whose room received its answer in it."""
        room, due_s = frames.room, frames.due_s
        free, has_waiting = self._free_at_s[room] <= due_s, ~np.isnan(self._waits_since_s[room])
        freed = room[has_waiting & free]
        displaced, displaced_s = room[has_waiting & ~free], self._waits_since_s[room[has_waiting & ~free]]
        from_waiting = self._send(freed)
        is_immediate = ~has_waiting & free
        immediate = QueuedRequests(due_s=due_s[is_immediate], room=room[is_immediate], sent_s=due_s[is_immediate])
        self._free_at_s[immediate.room] = np.inf
        self._wait(room[~is_immediate], due_s[~is_immediate])
        released, departed = self._release(to_s)
        sent = from_waiting.concat(immediate).concat(released)
        return OfferedFrames(
            sent=sent.ordered(),
            displaced=QueuedRequests(due_s=displaced_s, room=displaced, sent_s=displaced_s).concat(departed).ordered(),
        )

    def record_end(self, sent: QueuedRequests, ends_s: Floats, vendor_s: Floats) -> Floats:
        """Record the end of each sent frame; return the vendors' part of its wait in the room."""
        waited_s = (sent.sent_s - sent.due_s) * self._vendor_share[sent.room]
        self._free_at_s[sent.room] = ends_s
        self._vendor_share[sent.room] = vendor_s / np.maximum(ends_s - sent.sent_s, 1e-9)
        return np.asarray(waited_s)

    def record_failure(self, requests: QueuedRequests, at_s: float) -> None:
        """Record the frames that ended without an answer."""
        self._free_at_s[requests.room] = np.maximum(requests.sent_s, at_s)
        self._vendor_share[requests.room] = 0.0
        self.lost[requests.room] = True

    def _wait(self, room: Ints, due_s: Floats) -> None:
        self._waits_since_s[room] = due_s
        unlisted = room[~self._is_waiting[room]]
        if len(unlisted):
            self._is_waiting[unlisted] = True
            self._waiting = np.concatenate([self._waiting, unlisted])

    def _release(self, to_s: float) -> tuple[QueuedRequests, QueuedRequests]:
        """Send the waiting frames of rooms that are free by `to_s`; a room that left sheds its frame."""
        if not len(self._waiting):
            return NO_REQUESTS, NO_REQUESTS
        until_s = np.minimum(self._free_at_s[self._waiting], self._leave_at_s[self._waiting])
        ready = self._waiting[until_s < to_s]
        if not len(ready):
            return NO_REQUESTS, NO_REQUESTS
        left = self._free_at_s[ready] >= self._leave_at_s[ready]
        departed = ready[left]
        shed = QueuedRequests(due_s=self._waits_since_s[departed], room=departed, sent_s=self._leave_at_s[departed])
        self._waits_since_s[departed] = np.nan
        sent = self._send(ready[~left])
        self._is_waiting[ready] = False
        self._waiting = self._waiting[self._is_waiting[self._waiting]]
        return sent, shed

    def _send(self, room: Ints) -> QueuedRequests:
        """Send the waiting frames of these rooms, each at the moment its room became free."""
        sent = QueuedRequests(due_s=self._waits_since_s[room], room=room, sent_s=self._free_at_s[room])
        self._waits_since_s[room] = np.nan
        self._free_at_s[room] = np.inf
        return sent
