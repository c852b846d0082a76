"""The types of a vendor check: the account, the probe's result, and the time to the first response."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from routing.catalogue import Model

Availability = Mapping[str, bool | None]
"""Whether the vendor lists each name; None where the key lacks the permission."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorAccount:
    """One vendor's account: API, key, address, and the models and voices that the configuration needs."""

    api: str
    key: str = field(repr=False)
    base_url: str | None = None
    api_version: str | None = None
    models: tuple[Model, ...] = ()
    voices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """The models and voices that a vendor lists, and the remaining quota where it reports one."""

    models: Availability
    voices: Availability = field(default_factory=dict)
    quota_left: float | None = None
    quota_unit: str = ""


@dataclass(slots=True)
class ProbeTimer:
    """Measure the time to a vendor's first response; later ones reuse its connection."""

    clock: Callable[[], float] = time.monotonic
    started_s: float | None = None
    first_s: float | None = None

    def start(self) -> None:
        self.started_s = self.clock()

    def mark_response(self) -> None:
        if self.first_s is None and self.started_s is not None:
            self.first_s = self.clock() - self.started_s


Probe = Callable[[ProbeTimer], Awaitable[ProbeResult]]


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status in an error of any of the SDKs, or None."""
    values = (getattr(error, name, None) for name in ("status_code", "http_status", "code"))
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool)), None)
