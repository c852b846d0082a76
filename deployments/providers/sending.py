"""Record whether a request of an attempt has left, because an attempt that sent nothing costs nothing."""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType


class Sending:
    """Whether the requests made inside `with` have left. Each HTTP client reports them by `mark_sent`."""

    def __init__(self) -> None:
        self.sent = False
        self._token: Token[Sending | None] | None = None

    def __enter__(self) -> Sending:
        self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _current.reset(self._token)


_current: ContextVar[Sending | None] = ContextVar("sending", default=None)


def mark_sent() -> None:
    """Report that a request leaves now."""
    current = _current.get()
    if current is not None:
        current.sent = True


async def mark_sent_hook(request: object) -> None:
    """Report a request, as an event hook of httpx2."""
    mark_sent()
