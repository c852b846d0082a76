"""List the metrics of the routers and of the model replicas."""

from __future__ import annotations

from dataclasses import fields

from routing.breaker import BreakerState
from routing.errors import ProviderError
from routing.models import Tier, Usage
from routing.telemetry.metric import SECONDS, Kind, Metric

REQUESTS = "rayroom_requests"
REQUEST_ERRORS = "rayroom_request_errors"
REQUEST_SECONDS = "rayroom_request_seconds"
DECISIONS = "rayroom_decisions"
COMPLEX_SHARE = "rayroom_complex_share"
ATTEMPTS = "rayroom_attempts"
ATTEMPT_ERRORS = "rayroom_attempt_errors"
ATTEMPT_SECONDS = "rayroom_attempt_seconds"
FIRST_TOKEN_SECONDS = "rayroom_first_token_seconds"
STEPS = "rayroom_steps_after_failures"
FALLBACKS = "rayroom_fallbacks"
BREAKER_STATE = "rayroom_breaker_state"
BREAKER_TRANSITIONS = "rayroom_breaker_transitions"
USAGE = "rayroom_usage"
COST = "rayroom_cost_nanousd"
SERVED_TIERS = "rayroom_served_tiers"
EMPTY_ANSWERS = "rayroom_empty_answers_requested_again"
REFUSALS = "rayroom_refusals"
REFUSED_UPLOADS = "rayroom_refused_uploads"
SET_ASIDE_USAGE = "rayroom_speech_usage_set_aside"
RECORD_PARTS = "rayroom_record_parts"
FAILED_AUTHENTICATIONS = "rayroom_failed_authentications"
TOOL_CALLS = "rayroom_tool_calls"
TOOL_SECONDS = "rayroom_tool_seconds"
SPANS_LOST = "rayroom_spans_lost"
LOOP_TASKS = "rayroom_event_loop_tasks"

ROUTES = (
    *("/v1/chat/completions", "/v1/frames", "/healthz", "/readyz", "/v1/rooms", "/v1/rooms/{room}/heartbeat"),
    *("/v1/rooms/{room}", "/v1/embeddings", "/v1/models", "/v1/models/{model:path}", "/v1/responses"),
    *("/v1/knowledge/search", "/v1/tenants/{tenant_id}/usage", "/v1/bill", "/openapi.json", "other"),
    *("/v1/rooms/{room}/tools", "/v1/rooms/{room}/tools/calls"),
    *("/v1/rooms/{room}/record", "/v1/tenants/{tenant_id}/records"),
)
"""The routes of the app; `other` is every path that has none."""
KNOWN_TIERS = frozenset({"default", "standard", "auto", "flex", "priority", "batch", "on_demand", "scale"})
"""The tiers of the vendors by their own names. A label holds no other text of a vendor."""
USAGE_KINDS = tuple(one.name for one in fields(Usage))
COST_KINDS = ("reported", "estimated")
OUTCOMES = ("ok", "error", "cancelled")
SHED_CODES = ("overloaded", "rate_limit_exceeded", "budget_exceeded", "costs_unavailable", "internal_error")
"""The codes that each route has from the start; the others begin at their first error."""
TOOL_OUTCOMES = ("ok", "tool_error", "cancelled", "tool_failed", "tool_timeout", "tool_address_refused")
BREAKER_LEVELS = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}


def _codes(kind: type[ProviderError]) -> set[str]:
    return {kind.code}.union(*(_codes(child) for child in kind.__subclasses__()))


PROVIDER_CODES = tuple(sorted(_codes(ProviderError)))


def _router(
    name: str, kind: Kind, text: str, /, *labels: str, buckets: tuple[float, ...] = (), **values: tuple[str, ...]
) -> Metric:
    return Metric(name=name, kind=kind, part="router", help=text, labels=labels, values=values, buckets=buckets)


_TIERS = tuple(Tier)
ROUTER_METRICS = (
    _router(REQUESTS, "counter", "Requests.", "route", "status", status=("2xx", "4xx", "5xx")),
    _router(REQUEST_ERRORS, "counter", "Requests that ended in an error.", "route", "code", code=SHED_CODES),
    _router(REQUEST_SECONDS, "histogram", "The time until a response was sent.", "route", buckets=SECONDS),
    _router(DECISIONS, "counter", "Routed requests by the tier that was decided.", "service", "tier", tier=_TIERS),
    _router(COMPLEX_SHARE, "gauge", "The complex tier's share of this replica's requests.", "service"),
    _router(
        ATTEMPTS, "counter", "Attempts at a vendor.", "service", "tier", "vendor", "model", "outcome", outcome=OUTCOMES
    ),
    _router(ATTEMPT_ERRORS, "counter", "Failed attempts.", "vendor", "model", "code", code=PROVIDER_CODES),
    _router(
        ATTEMPT_SECONDS,
        "histogram",
        "The time of a successful attempt, with its reservation and settlement.",
        "service",
        "vendor",
        "model",
        buckets=SECONDS,
    ),
    _router(
        FIRST_TOKEN_SECONDS,
        "histogram",
        "The time to the first token of a stream.",
        "service",
        "vendor",
        "model",
        buckets=SECONDS,
    ),
    _router(
        STEPS,
        "counter",
        "Steps after failed attempts: `again` is a retry, `next` another model, `stop` the end.",
        "model",
        "step",
        step=("again", "next", "stop"),
    ),
    _router(FALLBACKS, "counter", "Requests that went on to another model.", "model", "to"),
    _router(BREAKER_STATE, "gauge", "A model's circuit breaker: 0 closed, 1 half open, 2 open.", "model"),
    _router(
        BREAKER_TRANSITIONS, "counter", "Turns of a model's circuit breaker.", "model", "to", to=tuple(BreakerState)
    ),
    _router(
        USAGE,
        "counter",
        "Billable units: tokens, pixels, milliseconds of audio, characters.",
        "service",
        "vendor",
        "model",
        "kind",
        kind=USAGE_KINDS,
    ),
    _router(
        COST,
        "counter",
        "Cost in nano-dollars as routers see it; `estimated` without a reported usage. The bill is the journal's.",
        "service",
        "vendor",
        "model",
        "kind",
        kind=COST_KINDS,
    ),
    _router(
        SERVED_TIERS,
        "counter",
        "Answers by the tier that the vendor served and bills.",
        "model",
        "tier",
        tier=("default",),
    ),
    _router(
        EMPTY_ANSWERS,
        "counter",
        "Answers of thought only, requested again; many mean too little room for thinking.",
        "model",
    ),
    _router(
        REFUSALS,
        "counter",
        "Refusals: `request` is the caller's 400, `model` an option it does not take, `configuration` ours.",
        "model",
        "cause",
        cause=("request", "model", "configuration"),
    ),
    _router(
        REFUSED_UPLOADS,
        "counter",
        "Bodies refused while too many were arriving slowly, of one `tenant` or at one `replica`.",
        "limit",
        limit=("tenant", "replica"),
    ),
    _router(SET_ASIDE_USAGE, "counter", "Items of speech usage that have no price here and were not billed."),
    _router(
        RECORD_PARTS,
        "counter",
        "Parts of meetings' records by the backend's answer.",
        "outcome",
        outcome=("stored", "duplicate", "deleted", "too_large", "refused"),
    ),
    _router(
        FAILED_AUTHENTICATIONS,
        "counter",
        "Requests whose key, token or signature was refused.",
        "credential",
        "reason",
        credential=("agent key", "admin key", "room token", "dispatch signature"),
        reason=("invalid", "expired", "not allowed"),
    ),
    _router(
        TOOL_CALLS,
        "counter",
        "Calls of tools: `tool_error` is the tool's own, other outcomes are the codes of errors.",
        "outcome",
        outcome=TOOL_OUTCOMES,
    ),
    _router(TOOL_SECONDS, "histogram", "The time of a tool's call, with its connection.", buckets=SECONDS),
    _router(SPANS_LOST, "counter", "Spans that the collector of traces did not take."),
    _router(LOOP_TASKS, "gauge", "Tasks on the event loop of a router or model replica."),
)
