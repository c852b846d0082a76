"""Carry the request that a task serves: its id, its route and its error, for log lines, metrics and the bill."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

UNKNOWN_ROUTE = "other"
"""The route of every path that has none: a label must not hold what a caller sends."""


@dataclass(slots=True)
class CurrentRequest:
    """The request of a task and of the tasks that it starts."""

    request_id: str
    """The id in the response's header `x-request-id`. A caller may choose it, so nothing is billed by it."""
    route: str = UNKNOWN_ROUTE
    status: int = 500
    error_code: str | None = None
    """The code of the error that ended the request; a stream has one although its status is 200."""

    open: bool = True
    """Whether the response is still being sent: a task that outlives the request serves others."""

    def end(self, took_s: float) -> RequestEnd:
        self.open = False
        return RequestEnd(route=self.route, status=self.status, error_code=self.error_code, took_s=took_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEnd:
    """A request whose response was sent, or whose client left."""

    route: str
    status: int
    error_code: str | None
    took_s: float


CURRENT: ContextVar[CurrentRequest | None] = ContextVar("current_request", default=None)


def current_request_id() -> str:
    """Return the id of the request that this task serves, or an empty text outside one."""
    current = CURRENT.get()
    return current.request_id if current is not None and current.open else ""


def note_error(code: str) -> None:
    """Record the error that ends the request of this task."""
    current = CURRENT.get()
    if current is not None:
        current.error_code = code
