"""Whom `rayroom check` asks and what it was told: an account, an answer, and how long the first one took."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from routing.catalogue import Model

Known = Mapping[str, bool | None]
"""Whether each name is known; None where the key may not ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorAccount:
    """Whom to ask, with which key, and what the configuration will want of it."""

    api: str
    key: str = field(repr=False)
    base_url: str | None = None
    api_version: str | None = None
    models: tuple[Model, ...] = ()
    voices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What a vendor said: which models and voices it knows, and what is left to spend where it tells."""

    models: Known
    voices: Known = field(default_factory=dict)
    left: float | None = None
    unit: str = ""


@dataclass(slots=True)
class ProbeTimer:
    """Takes the time of a vendor's first answer: later ones go over a connection that is open."""

    clock: Callable[[], float] = time.monotonic
    started_s: float | None = None
    first_s: float | None = None

    def start(self) -> None:
        self.started_s = self.clock()

    def answered(self) -> None:
        if self.first_s is None and self.started_s is not None:
            self.first_s = self.clock() - self.started_s


Ask = Callable[[ProbeTimer], Awaitable[ProbeResult]]


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status in an error of any of the SDKs, or None where there is none."""
    values = (getattr(error, name, None) for name in ("status_code", "http_status", "code"))
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool)), None)
