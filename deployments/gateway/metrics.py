"""Name the router's metrics, and count them in its replica."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ray.serve import metrics

from deployments.api.access.authentication import Credential, FailureReason
from deployments.api.uploads import UploadLimit
from routing.models import Usage
from routing.retry import RefusalCause

BREAKER_TRANSITIONS = "rayroom_breaker_transitions"
FALLBACKS = "rayroom_fallbacks"
INPUT_TOKENS = "rayroom_input_tokens"
CACHED_INPUT_TOKENS = "rayroom_cached_input_tokens"
"""Divided by `rayroom_input_tokens`: the share of a model's input that its vendor read from its prompt cache."""
SERVED_TIERS = "rayroom_served_tiers"
EMPTY_ANSWERS = "rayroom_empty_answers_requested_again"
REFUSALS = "rayroom_refusals"
REFUSED_UPLOADS = "rayroom_refused_uploads"
SET_ASIDE_USAGE = "rayroom_speech_usage_set_aside"
FAILED_AUTHENTICATIONS = "rayroom_failed_authentications"
KNOWN_TIERS = frozenset({"default", "standard", "auto", "flex", "priority", "batch", "on_demand", "scale"})
"""The tiers of the vendors by their own names. A label holds no other text of a vendor."""


class GatewayMetrics(Protocol):
    """Counts the events of requests, by model; never by room, tenant or key."""

    def breaker_turned(self, model: str, to: str) -> None: ...

    def fell_back(self, model: str, to: str) -> None: ...

    def answered(self, model: str, usage: Usage, service_tier: str | None) -> None:
        """Count the input tokens, and the served tier, of an attempt whose usage the vendor reported."""

    def requested_again(self, model: str) -> None:
        """Count an answer that was thought only, and is requested again with more room."""

    def refused(self, model: str, cause: RefusalCause) -> None: ...

    def upload_refused(self, limit: UploadLimit) -> None:
        """Count a body that was not received, because too many were being received."""

    def set_aside_usage(self) -> None:
        """Count an item of speech usage that cannot be priced."""

    def authentication_failed(self, credential: Credential, reason: FailureReason) -> None: ...


class NoMetrics:
    """Counts nothing: for a gateway outside a cluster."""

    def breaker_turned(self, model: str, to: str) -> None:
        return None

    def fell_back(self, model: str, to: str) -> None:
        return None

    def answered(self, model: str, usage: Usage, service_tier: str | None) -> None:
        return None

    def requested_again(self, model: str) -> None:
        return None

    def refused(self, model: str, cause: RefusalCause) -> None:
        return None

    def upload_refused(self, limit: UploadLimit) -> None:
        return None

    def set_aside_usage(self) -> None:
        return None

    def authentication_failed(self, credential: Credential, reason: FailureReason) -> None:
        return None


class ServeMetrics:
    """Counts in this replica; Ray adds deployment and replica to the labels."""

    def __init__(self) -> None:
        self._turned = _counter(BREAKER_TRANSITIONS, "Turns of a model's breaker.", ("model", "to"))
        self._fell_back = _counter(FALLBACKS, "Requests that went on to another model.", ("model", "to"))
        self._input = _counter(INPUT_TOKENS, "Input tokens that vendors reported.", ("model",))
        self._cached = _counter(CACHED_INPUT_TOKENS, "Those of the input tokens that were read from cache.", ("model",))
        self._tiers = _counter(SERVED_TIERS, "Answers by the tier that the vendor served.", ("model", "tier"))
        self._again = _counter(EMPTY_ANSWERS, "Answers that were thought only, requested again.", ("model",))
        self._refused = _counter(REFUSALS, "Requests that a vendor refused.", ("model", "cause"))
        self._uploads = _counter(REFUSED_UPLOADS, "Bodies refused because too many were arriving.", ("limit",))
        self._set_aside = _counter(SET_ASIDE_USAGE, "Items of speech usage that cannot be priced.", ())
        self._failed = _counter(
            FAILED_AUTHENTICATIONS, "Requests whose key, token or signature was refused.", ("credential", "reason")
        )

    def breaker_turned(self, model: str, to: str) -> None:
        self._turned.inc(tags={"model": model, "to": to})

    def fell_back(self, model: str, to: str) -> None:
        self._fell_back.inc(tags={"model": model, "to": to})

    def answered(self, model: str, usage: Usage, service_tier: str | None) -> None:
        # Ray's counters refuse an increment of zero.
        if usage.input_tokens:
            self._input.inc(usage.input_tokens, tags={"model": model})
        if usage.cached_input_tokens:
            self._cached.inc(usage.cached_input_tokens, tags={"model": model})
        if service_tier is not None:
            self._tiers.inc(tags={"model": model, "tier": tier_label(service_tier)})

    def requested_again(self, model: str) -> None:
        self._again.inc(tags={"model": model})

    def refused(self, model: str, cause: RefusalCause) -> None:
        self._refused.inc(tags={"model": model, "cause": cause})

    def upload_refused(self, limit: UploadLimit) -> None:
        self._uploads.inc(tags={"limit": limit})

    def set_aside_usage(self) -> None:
        self._set_aside.inc()

    def authentication_failed(self, credential: Credential, reason: FailureReason) -> None:
        self._failed.inc(tags={"credential": credential, "reason": reason})


def tier_label(service_tier: str) -> str:
    """Return a vendor's tier as a label of a metric."""
    name = service_tier.lower()
    return name if name in KNOWN_TIERS else "other"


def _counter(name: str, description: str, labels: Sequence[str]) -> metrics.Counter:
    # Ray annotates `tag_keys` as a tuple of one string, and accepts any length.
    return metrics.Counter(name, description=description, tag_keys=tuple(labels))  # type: ignore[arg-type]
