"""Timers of one attempt, and the check that a stream ended with its finish marker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from deployments.providers.errors import Phase, VendorResponse, to_ours
from deployments.providers.vendor_call import VendorCall
from routing.errors import ProviderTruncated
from routing.models import Delta, ModelRequest
from routing.retry import Deadline

CONNECT_TIMEOUT_S = 3.0
KEPT_S = 45.0
"""Seconds that an idle connection is kept. The libraries' defaults of 5 and 15 s are shorter than the gap between two
requests of a room, and a new connection takes two or three round trips. Load balancers close idle ones after 60 s or
later."""

T = TypeVar("T")
ReplyOf = Callable[[Exception], VendorResponse | None]


async def answered(response: Awaitable[T], timeout_s: float, reply_of: ReplyOf, call: VendorCall | None = None) -> T:
    """Await `response` for at most `timeout_s` and return its result; raises ProviderError."""
    with call or VendorCall() as call:
        try:
            async with asyncio.timeout(timeout_s):
                return await response
        except Exception as error:
            raise to_ours(error, "first_token", reply_of, call.sent) from None


async def streamed(
    deltas: AsyncGenerator[Delta, None],
    request: ModelRequest,
    reply_of: ReplyOf,
    call: VendorCall | None = None,
) -> AsyncGenerator[Delta, None]:
    """Yield a vendor's `deltas` and, last, one with `finish`, the usage and the tier reported; raises ProviderError.

    Deltas without a piece of the answer are not yielded: their usage and their thinking go with the next one.

    A timer spans one await and no yield: another task may request the next delta, and a timer that one task started
    cannot stop another. The time that the consumer takes does not count either.
    """
    watch, call = _Watch(request, time.monotonic()), call or VendorCall()
    last, usage_so_far, thinking_bytes = Delta(), None, 0
    async with aclosing(deltas):
        while True:
            try:
                with call:
                    async with asyncio.timeout(watch.wait_s(time.monotonic())):
                        delta = await anext(deltas)
            except StopAsyncIteration:
                break
            except Exception as error:
                # After the finish marker only the usage can be missing: a complete answer is not requested again.
                if last.finish is not None:
                    break
                raise to_ours(error, watch.phase, reply_of, call.sent) from None
            call.received.add(delta)
            last = _ending(last, delta)
            usage_so_far = delta.usage_so_far or usage_so_far
            thinking_bytes += delta.thinking_bytes
            if delta.text or delta.tool_calls or delta.logprobs:
                watch.phase = "stream"
                yield Delta(
                    text=delta.text,
                    tool_calls=delta.tool_calls,
                    logprobs=delta.logprobs,
                    usage_so_far=usage_so_far,
                    thinking_bytes=thinking_bytes,
                )
                usage_so_far, thinking_bytes = None, 0
    if last.finish is None:
        raise ProviderTruncated(phase=watch.phase)
    yield last


async def gathered(
    read: Callable[[Callable[[Delta], None]], Awaitable[None]],
    timeout_s: float,
    reply_of: ReplyOf,
    call: VendorCall | None = None,
) -> list[Delta]:
    """Return all that `streamed` would yield, without its timers between tokens; raises ProviderError.

    `read` receives the answer and passes each delta to the function that it is given, also those of an answer that
    breaks off or that nobody waits for any more.
    """
    call, pieces, last = call or VendorCall(), list[Delta](), Delta()

    def add(delta: Delta) -> None:
        nonlocal last
        call.received.add(delta)
        last = _ending(last, delta)
        if delta.text or delta.tool_calls or delta.logprobs:
            pieces.append(Delta(text=delta.text, tool_calls=delta.tool_calls, logprobs=delta.logprobs))

    def phase() -> Phase:
        return "stream" if pieces else "first_token"

    with call:
        try:
            async with asyncio.timeout(timeout_s):
                await read(add)
        except Exception as error:
            # As in `streamed`, a complete answer is not requested again.
            if last.finish is None:
                raise to_ours(error, phase(), reply_of, call.sent) from None
    if last.finish is None:
        raise ProviderTruncated(phase=phase())
    return [*pieces, last]


def _ending(last: Delta, delta: Delta) -> Delta:
    """Return the end of an answer as far as it is known after `delta`."""
    if delta.finish is None and delta.usage is None and delta.service_tier is None:
        return last
    return Delta(
        finish=delta.finish or last.finish,
        usage=delta.usage or last.usage,
        service_tier=delta.service_tier or last.service_tier,
    )


class _Watch:
    """The timers of one attempt: the one that runs now, and its remaining time."""

    def __init__(self, request: ModelRequest, now_s: float) -> None:
        self.phase: Phase = "first_token"
        self._total = Deadline.after(request.timeout_s, now_s)
        self._first = Deadline.after(request.first_token_timeout_s or request.timeout_s, now_s)
        self._between_s = request.between_tokens_timeout_s or request.timeout_s

    def wait_s(self, now_s: float) -> float:
        left_s = self._first.remaining_s(now_s) if self.phase == "first_token" else self._between_s
        return min(left_s, self._total.remaining_s(now_s))
