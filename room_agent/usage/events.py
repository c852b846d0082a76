"""An amount of speech as the router bills it: under an id, in pieces that are not too large. Counts nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Service = Literal["stt", "tts"]
MOST_EVENTS = 256
"""As many as one heartbeat may carry."""
MOST_IN_ONE = {"stt": 86_400_000, "tts": 1_000_000}
"""What the router takes in one event: a day of sound, a million characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageEvent:
    """An amount of one model's work; sent again under the same id it is the same amount."""

    id: str
    service: Service
    model: str
    audio_ms: int = 0
    characters: int = 0
    occurred_at: float
    estimated: bool = False
    """Whether it may have never left: it was about to when its job was killed."""

    @property
    def amount(self) -> int:
        return self.audio_ms + self.characters

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def usage_event(
    event_id: str, service: Service, model: str, amount: int, at_s: float, estimated: bool = False
) -> UsageEvent:
    """Return an amount as an event of its service."""
    return UsageEvent(
        id=event_id,
        service=service,
        model=model,
        audio_ms=amount if service == "stt" else 0,
        characters=amount if service == "tts" else 0,
        occurred_at=at_s,
        estimated=estimated,
    )


def pieces(service: Service, amount: int) -> list[int]:
    """Return an amount in as many parts as it takes, none larger than one event may be."""
    most = MOST_IN_ONE[service]
    return [min(most, amount - start) for start in range(0, amount, most)]
