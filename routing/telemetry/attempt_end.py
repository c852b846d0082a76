"""Report the end of an attempt to metrics and traces."""

from __future__ import annotations

from dataclasses import dataclass

from routing.models import Service, Tier, Usage
from routing.telemetry.tracing import Span, provider_name


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnd:
    """The end of one attempt at a vendor, for metrics and traces."""

    service: Service
    tier: Tier
    vendor: str
    model: str
    outcome: str
    code: str | None
    """The code of the error; None for a success and a cancellation."""
    took_s: float
    first_token_s: float | None
    """None where the answer was not streamed, or no token came."""
    usage: Usage | None
    """None where the vendor reported none."""
    cost_nanousd: int
    estimated: bool
    service_tier: str | None


def describe_attempt(span: Span, end: AttemptEnd, number: int, event_id: str) -> None:
    """Set what a trace tells of an attempt; `event_id` is that of its cost."""
    span.set(
        rayroom__service=end.service,
        rayroom__tier=end.tier,
        rayroom__attempt=number,
        rayroom__event_id=event_id,
        rayroom__cost_nanousd=end.cost_nanousd,
        gen_ai__request__model=end.model,
        gen_ai__provider__name=provider_name(end.vendor),
        gen_ai__response__time_to_first_chunk=end.first_token_s,
    )
