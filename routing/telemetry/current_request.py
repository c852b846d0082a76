"""Carry the request that a task serves: its id, its route and its error, for log lines, metrics and the bill."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

REQUEST_ID = "x-request-id"
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


def new_request_id() -> str:
    return f"req_{uuid.uuid4().hex}"


@contextmanager
def new_request() -> Iterator[CurrentRequest]:
    """Give the log lines of this task within the block, and its requests to the router, one new id."""
    request = CurrentRequest(new_request_id())
    CURRENT.set(request)
    try:
        yield request
    finally:
        # The task may live on and serve others, and so may the tasks that it has started.
        request.open = False


def serve_request(request_id: str) -> None:
    """Let the log lines of this task carry the id of a request that another process serves."""
    if request_id and request_id != current_request_id():
        CURRENT.set(CurrentRequest(request_id))


def request_headers() -> Mapping[str, str]:
    """Return the header by which the router continues the request of this task."""
    request_id = current_request_id()
    return {REQUEST_ID: request_id} if request_id else {}
