"""Carries one attempt within its timers, and makes sure that it ended as an answer ends. Knows no vendor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from deployments.providers.errors import Phase, VendorResponse, to_ours
from routing.errors import ProviderTruncated
from routing.models import Delta, Finish, ModelRequest
from routing.retry import Deadline

CONNECT_TIMEOUT_S = 3.0
KEPT_S = 45.0
"""How long an idle connection is kept: rooms ask less often than every 5 or 15 s, the libraries' own, and to connect
anew costs two or three ways to the vendor. Load balancers close idle ones after 60 s or later."""

T = TypeVar("T")
ReplyOf = Callable[[Exception], VendorResponse | None]


async def answered(call: Awaitable[T], timeout_s: float, reply_of: ReplyOf) -> T:
    """Return what `call` returns within `timeout_s`; raises ProviderError."""
    try:
        async with asyncio.timeout(timeout_s):
            return await call
    except Exception as error:
        raise to_ours(error, "first_token", reply_of) from None


async def streamed(
    deltas: AsyncGenerator[Delta, None],
    ask: ModelRequest,
    reply_of: ReplyOf,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncGenerator[Delta, None]:
    """Yield a vendor's `deltas` and, last, one with `finish` and the usage it told last; raises ProviderError.

    A timer spans one await and no yield: each delta may be asked for by another task, and a timer that was started
    in one task cannot stop another. Nor does the time count that the reader takes.
    """
    watch = _Watch(ask, clock())
    last = Delta()
    async with aclosing(deltas):
        while True:
            try:
                async with asyncio.timeout(watch.wait_s(clock())):
                    delta = await anext(deltas)
            except StopAsyncIteration:
                break
            except Exception as error:
                # After the finish marker only the usage can be missing: a whole answer is not asked for twice.
                if last.finish is not None:
                    break
                raise to_ours(error, watch.phase, reply_of) from None
            last = Delta(finish=delta.finish or last.finish, usage=delta.usage or last.usage)
            if delta.text:
                watch.phase = "stream"
                yield Delta(text=delta.text)
    if last.finish is None:
        raise ProviderTruncated(phase=watch.phase)
    yield last


def finished(finish: Finish | None) -> Finish:
    """Return the finish marker of a whole answer; raises ProviderTruncated where it is missing."""
    if finish is None:
        raise ProviderTruncated(phase="parse")
    return finish


class _Watch:
    """Which timer of an attempt runs, and how long it still has."""

    def __init__(self, ask: ModelRequest, now_s: float) -> None:
        self.phase: Phase = "first_token"
        self._total = Deadline.after(ask.timeout_s, now_s)
        self._first = Deadline.after(ask.first_token_timeout_s or ask.timeout_s, now_s)
        self._between_s = ask.between_tokens_timeout_s or ask.timeout_s

    def wait_s(self, now_s: float) -> float:
        left_s = self._first.remaining_s(now_s) if self.phase == "first_token" else self._between_s
        return min(left_s, self._total.remaining_s(now_s))
