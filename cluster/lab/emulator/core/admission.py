"""Lets a speech request in or turns it away, and says how long it waits. Knows no vendor's words for it."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from cluster.lab.emulator.core.capacity import InFlightSlot, LimitStatus
from cluster.lab.emulator.core.protocol import HTML, VendorRefusal, refusal_of
from cluster.lab.emulator.core.request import EmulatedRequest, EmulatorState, ParsedRequest

RefusalWriter = Callable[[VendorRefusal, ParsedRequest, LimitStatus], web.Response]


async def check_admission(exchange: EmulatedRequest, write_refusal: RefusalWriter) -> web.Response | None:
    """Return the answer to a request that may not go on, once its fault's delay is over; None where it may."""
    await exchange.pause(exchange.fault.delay_s)
    refusal = refusal_of(exchange)
    if refusal is None:
        return None
    response = write_refusal(refusal, exchange.request, exchange.limit_status())
    if exchange.fault.html:
        response = web.Response(status=response.status, text=HTML, content_type="text/html", headers=refusal.headers)
    exchange.answered(response.status)
    return response


def first_byte_s(state: EmulatorState, parsed: ParsedRequest) -> float:
    """Draw how long the vendor takes until it has something to send: the longer, the more it has to do."""
    slot = InFlightSlot(parsed.vendor, parsed.model, parsed.key or "")
    return state.latency.first_token_s(parsed.model, state.capacity.slowdown(slot))
