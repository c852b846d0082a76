"""Tell since when no model replica's call record can be missing, across restarts of the aggregator."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

AWAITED_S = 60.0
"""A replica that runs reconnects within seconds: one that did not, so long after another one, is taken for dead."""
MAX_ENDED = 1_000
"""Ended replicas that are remembered apart, should another one take over their files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedCoverage:
    """The coverage as it is on disk: it holds for the next process once all these replicas have returned."""

    since_s: float
    replicas: frozenset[str]
    """The ids of the model replicas that were connected or awaited."""


@dataclass(slots=True, kw_only=True)
class RecordCoverage:
    """The proof that an attempt without a call record never left the cluster: it arrived after `since_s`.

    Call records are in memory, and a restart loses them. It loses no proof, for these reasons:
    - A replica keeps its records for some time, and sends all of them again on each new connection.
    - The replicas that were connected when a process died are on disk. The next process awaits each of them, and proves
      nothing until all have sent their records again. Then it holds every record that the dead process held of them,
      and every record that they have written since, as far back as each keeps them: `since_s` is moved to there.
    - A replica that was killed leaves its records in files, which another replica of its node takes over: it sends them
      as if the killed one had returned, and from then on as its own.
    - The records of a replica that ended before the process died, and that no connected replica has taken over, are
      lost: `since_s` on disk is never before such an end, or any other moment at which records may have been lost.
    - After a stall of this process, records may wait unread in its sockets. It proves nothing until each connected
      replica has replied to a ping that was sent since: the reply comes after all that the replica wrote before.
    - If a replica's connection ends before that, or after a long silence, some of its records may be lost: it is
      awaited, like those of a process that died.
    - An awaited replica that neither returns nor is taken over may have died with records that nobody else has:
      `since_s` is moved to the time at which it is given up, so that whatever it may have called has an estimate.

    A replica is known from its first connection on, which it makes before it serves. So nothing is unproven only
    because no replica ran for a while.
    """

    since_s: float
    awaited: dict[str, float] = field(default_factory=dict)
    """The replicas that have to send their records again, and since when."""
    silent: dict[str, float] = field(default_factory=dict)
    """The connected replicas that have to reply to a ping of the newest number, and since when."""
    ping: int = 0
    connected: Counter[str] = field(default_factory=Counter)
    """The connections of each replica: a broken one may end after its replica has made another."""
    ended: dict[str, float] = field(default_factory=dict)
    """When each replica ended whose records only this process has."""

    @classmethod
    def started(cls, now_s: float, saved: SavedCoverage | None) -> RecordCoverage:
        """Return the coverage of a process that starts without any record."""
        if saved is None or not saved.replicas:
            # Replicas of another journal may still run: nothing is proven before one of this journal's has connected.
            return cls(since_s=math.inf)
        return cls(since_s=saved.since_s, awaited=dict.fromkeys(sorted(saved.replicas), now_s))

    @property
    def proven_since_s(self) -> float | None:
        """The time since which no record can be missing; None while that is unknown."""
        return self.since_s if self.connected and not self.awaited and not self.silent else None

    def saved(self) -> SavedCoverage:
        """Return what is to be on disk, should this process die now."""
        replicas = frozenset(self.connected.keys() | self.awaited.keys())
        return SavedCoverage(since_s=max([self.since_s, *self.ended.values()]), replicas=replicas)

    def connect(self, replica_id: str, now_s: float) -> None:
        """Record that a replica is connected, and will send its records from now on."""
        self.since_s = now_s if self.since_s == math.inf else self.since_s
        if not self.connected:
            # The others of a node that starts anew come later, and only they can take over the files of dead ones.
            self.awaited = dict.fromkeys(self.awaited, now_s)
        self.connected[replica_id] += 1
        self.ended.pop(replica_id, None)

    def complete(self, replica_id: str, kept_s: float, now_s: float) -> None:
        """Record that a connected replica has sent all records of its last `kept_s` seconds."""
        if replica_id in self.awaited or replica_id in self.silent:
            self.since_s = max(self.since_s, now_s - kept_s)
        for waiting in (self.awaited, self.silent):
            waiting.pop(replica_id, None)

    def stall(self, since_s: float, now_s: float) -> None:
        """Record that this process did not run for a while: what happened since was processed out of order."""
        self._await_reply(self.connected, now_s)
        for replica_id, ended_at_s in self.ended.items():
            if ended_at_s >= since_s:
                self.awaited.setdefault(replica_id, now_s)

    def reply(self, replica_id: str, ping: int) -> None:
        """Record that all that a connected replica wrote before its reply to a ping has arrived."""
        if ping == self.ping:
            self.silent.pop(replica_id, None)

    def _await_reply(self, replica_ids: Iterable[str], now_s: float) -> None:
        self.ping += 1
        for replica_id in replica_ids:
            self.silent.setdefault(replica_id, now_s)

    def disconnect(
        self, replica_id: str, now_s: float, *, records_lost: bool, taken_over_by: str | None = None
    ) -> None:
        """Record the end of a replica's connection, and whether its last records may not have arrived.

        `taken_over_by` is the replica that has sent its records again, and has them too, now that it is dead.
        """
        self.connected -= Counter([replica_id])
        unread = self.silent.pop(replica_id, None) is not None and taken_over_by is None
        if replica_id in self.connected:
            if unread or records_lost:
                # It has begun its other connection with all of its records: a reply comes after them.
                self._await_reply([replica_id], now_s)
        else:
            if unread or records_lost:
                self.awaited.setdefault(replica_id, now_s)
            if taken_over_by not in self.connected:
                self.ended[replica_id] = now_s
        if len(self.ended) > MAX_ENDED:
            self.since_s = max(self.since_s, self.ended.pop(next(iter(self.ended))))

    def lose(self, now_s: float) -> None:
        """Record that call records may have been lost until now."""
        self.since_s = max(self.since_s, now_s)

    def give_up(self, now_s: float) -> None:
        """Stop waiting for replicas that sent no records, or no reply, in time."""
        if not self.connected:
            return
        for waiting in (self.awaited, self.silent):
            for replica_id in [one for one, since_s in waiting.items() if now_s - since_s >= AWAITED_S]:
                del waiting[replica_id]
                self.lose(now_s)
