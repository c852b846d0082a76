"""Count the events of requests in a router replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product

from ray.serve import metrics as serve_metrics

from deployments.api.access.authentication import Credential, FailureReason
from deployments.api.uploads import UploadLimit
from deployments.common.instruments import WAIT_S, Instrument, Instruments, instrument_of
from deployments.common.settings import ServiceSettings
from deployments.gateway.models import GatewaySettings
from routing.breaker import BreakerState
from routing.catalogue import Catalogue
from routing.models import Service, Settlement, Tier, Usage
from routing.retry import RefusalCause, RetryStep
from routing.telemetry import router_metrics as names
from routing.telemetry.attempt_end import AttemptEnd
from routing.telemetry.current_request import RequestEnd
from routing.telemetry.metric import Metric


class GatewayMetrics:
    """Counts nothing: for a gateway outside a cluster. No event names a room, a tenant or a key."""

    def request_ended(self, end: RequestEnd) -> None:
        """Count a request once its response was sent."""

    def decided(self, service: Service, tier: Tier, complex_share: float) -> None:
        """Count a routed request; `complex_share` is the complex tier's share of this replica's requests so far."""

    def attempt_ended(self, end: AttemptEnd) -> None: ...

    def step_taken(self, model: str, step: RetryStep) -> None:
        """Count the step after a failed attempt."""

    def breaker_turned(self, model: str, to: str) -> None: ...

    def fell_back(self, model: str, to: str) -> None: ...

    def requested_again(self, model: str) -> None:
        """Count an answer that was thought only, and is requested again with more room."""

    def refused(self, model: str, cause: RefusalCause) -> None: ...

    def upload_refused(self, limit: UploadLimit) -> None:
        """Count a body that was not received, because too many were being received."""

    def speech_billed(self, service: Service, vendor: str, model: str, settled: Settlement) -> None: ...

    def set_aside_usage(self) -> None:
        """Count an item of speech usage that cannot be priced."""

    def record_reported(self, outcome: str) -> None:
        """Count a part of a meeting's record by the backend's answer."""

    def authentication_failed(self, credential: Credential, reason: FailureReason) -> None: ...

    def tool_called(self, outcome: str, took_s: float) -> None:
        """Count a call of a tool; `outcome` is `ok`, `tool_error`, `cancelled`, or the code of an error."""

    def tool_billed(self, cost_nanousd: int) -> None:
        """Count the cost of a call of a tool that left, whatever came back."""


class ServeMetrics(GatewayMetrics):
    """Counts in this replica; Ray adds deployment and replica to the labels."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._shares: dict[Service, float] = {}

    def request_ended(self, end: RequestEnd) -> None:
        route = {"route": end.route}
        self._instruments.add(names.REQUESTS, 1, {**route, "status": f"{end.status // 100}xx"})
        self._instruments.observe(names.REQUEST_SECONDS, end.took_s, route)
        if end.error_code is not None:
            self._instruments.add(names.REQUEST_ERRORS, 1, {**route, "code": end.error_code})

    def decided(self, service: Service, tier: Tier, complex_share: float) -> None:
        self._instruments.add(names.DECISIONS, 1, {"service": service, "tier": tier})
        # A gauge has no sum to gather: only what a reader could see is set.
        if round(complex_share, 2) != self._shares.get(service):
            self._shares[service] = round(complex_share, 2)
            self._instruments.set(names.COMPLEX_SHARE, complex_share, {"service": service})

    def attempt_ended(self, end: AttemptEnd) -> None:
        at = {"service": end.service, "vendor": end.vendor, "model": end.model}
        self._instruments.add(names.ATTEMPTS, 1, {**at, "tier": end.tier, "outcome": end.outcome})
        if end.code is not None:
            self._instruments.add(names.ATTEMPT_ERRORS, 1, {"vendor": end.vendor, "model": end.model, "code": end.code})
        if end.outcome == "ok":
            self._instruments.observe(names.ATTEMPT_SECONDS, end.took_s, at)
        if end.first_token_s is not None:
            self._instruments.observe(names.FIRST_TOKEN_SECONDS, end.first_token_s, at)
        if end.service_tier is not None:
            self._instruments.add(names.SERVED_TIERS, 1, {"model": end.model, "tier": tier_label(end.service_tier)})
        self._spend(at, end.usage, end.cost_nanousd, end.estimated)

    def step_taken(self, model: str, step: RetryStep) -> None:
        self._instruments.add(names.STEPS, 1, {"model": model, "step": step.kind})

    def breaker_turned(self, model: str, to: str) -> None:
        self._instruments.add(names.BREAKER_TRANSITIONS, 1, {"model": model, "to": to})
        self._instruments.set(names.BREAKER_STATE, names.BREAKER_LEVELS[BreakerState(to)], {"model": model})

    def fell_back(self, model: str, to: str) -> None:
        self._instruments.add(names.FALLBACKS, 1, {"model": model, "to": to})

    def requested_again(self, model: str) -> None:
        self._instruments.add(names.EMPTY_ANSWERS, 1, {"model": model})

    def refused(self, model: str, cause: RefusalCause) -> None:
        self._instruments.add(names.REFUSALS, 1, {"model": model, "cause": cause})

    def upload_refused(self, limit: UploadLimit) -> None:
        self._instruments.add(names.REFUSED_UPLOADS, 1, {"limit": limit})

    def speech_billed(self, service: Service, vendor: str, model: str, settled: Settlement) -> None:
        at = {"service": service, "vendor": vendor, "model": model}
        self._spend(at, settled.usage, settled.cost_nanousd, settled.estimated)

    def set_aside_usage(self) -> None:
        self._instruments.add(names.SET_ASIDE_USAGE, 1)

    def record_reported(self, outcome: str) -> None:
        self._instruments.add(names.RECORD_PARTS, 1, {"outcome": outcome})

    def authentication_failed(self, credential: Credential, reason: FailureReason) -> None:
        self._instruments.add(names.FAILED_AUTHENTICATIONS, 1, {"credential": credential, "reason": reason})

    def tool_called(self, outcome: str, took_s: float) -> None:
        self._instruments.add(names.TOOL_CALLS, 1, {"outcome": outcome})
        self._instruments.observe(names.TOOL_SECONDS, took_s, {})

    def tool_billed(self, cost_nanousd: int) -> None:
        # The names of tools are the tenants', so that no label holds one.
        at = {"service": "tools", "vendor": "tenant", "model": "tools"}
        self._spend(at, None, cost_nanousd, estimated=False)

    def spans_lost(self, spans: int) -> None:
        """Count spans that the collector of traces did not take; any thread may call it."""
        self._instruments.add_now(names.SPANS_LOST, spans)

    def _spend(self, at: Mapping[str, str], usage: Usage | None, cost_nanousd: int, estimated: bool) -> None:
        for kind, amount in (usage or Usage()).nonzero().items():
            self._instruments.add(names.USAGE, amount, {**at, "kind": kind})
        self._instruments.add(names.COST, cost_nanousd, {**at, "kind": names.COST_KINDS[estimated]})


def router_instruments(
    settings: GatewaySettings,
    catalogue: Catalogue,
    make: Callable[[Metric], Instrument] = lambda metric: instrument_of(metric, serve_metrics),
    wait_s: float = WAIT_S,
) -> Instruments:
    """Return the instruments of a router, with the series of all configured models and all routes."""
    rows = [*_model_rows(settings, catalogue), *({"route": route} for route in names.ROUTES)]
    return Instruments(names.ROUTER_METRICS, rows, make, wait_s)


def tier_label(service_tier: str) -> str:
    """Return a vendor's tier as a label of a metric."""
    name = service_tier.lower()
    return name if name in names.KNOWN_TIERS else "other"


def _model_rows(settings: GatewaySettings, catalogue: Catalogue) -> Iterator[dict[str, str]]:
    """Yield the labels of each configured model, and each pair of models between which a request may fall back."""
    services: tuple[tuple[Service, ServiceSettings], ...] = (("vision", settings.vision), ("llm", settings.llm))
    for service, configured in services:
        yield {"service": service}
        for tier, models in configured.models_of().items():
            for name in models:
                vendor = catalogue.get(name).vendor
                yield {"service": service, "tier": tier, "vendor": vendor, "model": name}
        every = (*configured.simple, *configured.complex)
        yield from ({"model": name, "to": other} for name, other in product(every, every) if name != other)
    for name in settings.embeddings.models:
        vendor = catalogue.get(name).vendor
        yield {"service": "embeddings", "tier": Tier.SIMPLE, "vendor": vendor, "model": name}
        yield from ({"model": name, "to": other} for other in settings.embeddings.models if name != other)
