"""One call of a vendor: whether its request has left, and the part of its answer that has arrived."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar, Token
from types import TracebackType

from routing.billing.charges import ReceivedAnswer


class VendorCall:
    """The requests made inside `with` belong to this call. Each HTTP client reports them by `mark_sent`."""

    def __init__(self, on_sent: Callable[[], None] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """`on_sent` is called once, when the first request leaves."""
        self.sent = False
        self.received = ReceivedAnswer(clock)
        self._on_sent = on_sent
        self._token: Token[VendorCall | None] | None = None

    def mark_sent(self) -> None:
        """Report that the request leaves now."""
        if not self.sent:
            self.sent = True
            if self._on_sent is not None:
                self._on_sent()

    def __enter__(self) -> VendorCall:
        self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _current.reset(self._token)


_current: ContextVar[VendorCall | None] = ContextVar("vendor_call", default=None)


def mark_sent() -> None:
    """Report that a request of the current call leaves now."""
    current = _current.get()
    if current is not None:
        current.mark_sent()


async def mark_sent_hook(request: object) -> None:
    """Report a request, as an event hook of httpx2.

    httpx2 calls it before it connects. So a call that is cancelled or killed while it connects counts as sent, and has
    an estimate; no call that left counts as unsent.
    """
    mark_sent()
