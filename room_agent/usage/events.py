"""Defines the usage event that the router bills, and splits amounts that exceed one event's limit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Service = Literal["stt", "tts"]
MeteredUsage = tuple[Service, str, str]
"""A service, its model, and the person whose amounts add up: the speaker, or the one for whom the agent speaks."""
MAX_EVENTS = 256
"""The limit of one heartbeat, set by the router."""
MAX_AMOUNT = {"stt": 86_400_000, "tts": 1_000_000}
"""The router's limit for one event: a day of audio in milliseconds, a million characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageEvent:
    """An amount of one model's work. The id is its idempotency key: a repeated event is billed once."""

    id: str
    service: Service
    model: str
    audio_ms: int = 0
    characters: int = 0
    occurred_at: float
    estimated: bool = False
    """Whether the amount may never have been sent: its job was killed around the send."""
    participant: str = ""
    """The identity of the speaker, or of the person for whom the agent speaks; empty where that is nobody."""

    @property
    def amount(self) -> int:
        return self.audio_ms + self.characters

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def usage_event(event_id: str, usage: MeteredUsage, amount: int, at_s: float, estimated: bool = False) -> UsageEvent:
    """Return an amount as an event: milliseconds for `stt`, characters for `tts`."""
    service, model, participant = usage
    return UsageEvent(
        id=event_id,
        service=service,
        model=model,
        audio_ms=amount if service == "stt" else 0,
        characters=amount if service == "tts" else 0,
        occurred_at=at_s,
        estimated=estimated,
        participant=participant,
    )


def split_amount(service: Service, amount: int) -> list[int]:
    """Split an amount into parts within the limit of one event."""
    limit = MAX_AMOUNT[service]
    return [min(limit, amount - start) for start in range(0, amount, limit)]
