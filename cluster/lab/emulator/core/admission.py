"""Lets a speech request in or turns it away, and says how long it waits. Knows no vendor's words for it."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from cluster.lab.emulator.core.capacity import Place, Standing
from cluster.lab.emulator.core.protocol import HTML, Refusal, refusal_of
from cluster.lab.emulator.core.request import Asked, Exchange, House

Refuse = Callable[[Refusal, Asked, Standing], web.Response]


async def turned_away(exchange: Exchange, refuse: Refuse) -> web.Response | None:
    """Return the answer to a request that may not go on, once its fault's delay is over; None where it may."""
    await exchange.pause(exchange.fault.delay_s)
    refusal = refusal_of(exchange)
    if refusal is None:
        return None
    response = refuse(refusal, exchange.asked, exchange.standing())
    if exchange.fault.html:
        response = web.Response(status=response.status, text=HTML, content_type="text/html", headers=refusal.headers)
    exchange.answered(response.status)
    return response


def first_byte_s(house: House, asked: Asked) -> float:
    """Draw how long the vendor takes until it has something to send: the longer, the more it has to do."""
    place = Place(asked.vendor, asked.model, asked.key or "")
    return house.pace.first_token_s(asked.model, house.pressure.slowdown(place))
