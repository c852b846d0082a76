"""Bound the uploads in progress, so that slow senders cannot occupy a replica."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from routing.errors import Overloaded, RateLimited

UploadLimit = Literal["tenant", "replica"]
"""The limit that a refused upload exceeded: that of its sender, or that of all together."""
UPLOADS_A_SENDER = 64
"""Uploads of one tenant that one replica receives at a time. A body takes milliseconds; only slow ones add up."""
UPLOADS = 256
"""Uploads of all tenants together: half of the requests that Serve gives a replica, so that others get through."""


class Uploads:
    """The bodies that one replica is receiving, by sender."""

    def __init__(
        self,
        count_refused: Callable[[UploadLimit], None] = lambda limit: None,
        a_sender: int = UPLOADS_A_SENDER,
        altogether: int = UPLOADS,
    ) -> None:
        self._count_refused = count_refused
        self._a_sender = a_sender
        self._altogether = altogether
        self._in_progress: Counter[str] = Counter()

    @contextmanager
    def slot(self, sender: str) -> Iterator[None]:
        """Hold one upload's slot; raises RateLimited for a sender with too many, Overloaded where all are taken."""
        if self._in_progress[sender] >= self._a_sender:
            self._count_refused("tenant")
            raise RateLimited("Too many uploads of this tenant are in progress.", retry_after_s=1.0)
        if self._in_progress.total() >= self._altogether:
            self._count_refused("replica")
            raise Overloaded("Too many uploads are in progress.", retry_after_s=1.0)
        self._in_progress[sender] += 1
        try:
            yield
        finally:
            self._in_progress[sender] -= 1
            if not self._in_progress[sender]:
                del self._in_progress[sender]
