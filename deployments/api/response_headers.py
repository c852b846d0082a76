"""Write the headers of a response: a tenant's request rate as OpenAI has it, and the time of the vendors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from routing.ratelimit import RateStanding


def rate_headers(standing: RateStanding | None) -> dict[str, str]:
    """Return the headers of a response; none for a tenant without a limit."""
    if standing is None:
        return {}
    return {
        "x-ratelimit-limit-requests": str(standing.limit_per_minute),
        "x-ratelimit-remaining-requests": str(standing.remaining),
        "x-ratelimit-reset-requests": duration(standing.reset_s),
    }


def refused_rate(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of a refused request; `facts` are those of its RateLimited."""
    names = RateStanding.__dataclass_fields__
    return rate_headers(RateStanding(**{name: facts[name] for name in names})) if names.keys() <= facts.keys() else {}


def server_timing(vendor_s: float) -> dict[str, str]:
    """Return the Server-Timing header: the part of the response time that was spent waiting for vendors."""
    return {"server-timing": f"vendor;dur={1_000 * vendor_s:.1f}"}


def duration(seconds: float) -> str:
    """Write seconds as OpenAI does: `12ms`, `1.5s`, `6m0s`."""
    if seconds < 1:
        return f"{round(1_000 * seconds)}ms"
    minutes, rest_s = divmod(round(seconds, 1 if seconds < 60 else 0), 60)
    return f"{minutes:.0f}m{rest_s:g}s" if minutes else f"{rest_s:g}s"
