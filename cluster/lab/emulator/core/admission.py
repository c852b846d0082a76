"""Admit or reject a speech request, and draw its simulated latency."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from cluster.lab.emulator.core.capacity import InFlightSlot, LimitStatus
from cluster.lab.emulator.core.protocol import HTML, VendorRefusal, refusal_of
from cluster.lab.emulator.core.request import EmulatedRequest, EmulatorState, ParsedRequest

RefusalWriter = Callable[[VendorRefusal, ParsedRequest, LimitStatus], web.Response]


async def check_admission(exchange: EmulatedRequest, write_refusal: RefusalWriter) -> web.Response | None:
    """Wait for the fault's delay, then return the rejection response, or None if the request is admitted."""
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
    """Draw the time to first byte in seconds, scaled by the model's current load."""
    slot = InFlightSlot(parsed.vendor, parsed.model, parsed.key or "")
    return state.latency.first_token_s(parsed.model, state.capacity.slowdown(slot))
