"""The gateway's metrics as a list of events."""

from __future__ import annotations

from deployments.api.access.authentication import Credential, FailureReason
from deployments.api.uploads import UploadLimit
from deployments.gateway.metrics import GatewayMetrics, tier_label
from routing.retry import RefusalCause
from routing.telemetry.attempt_end import AttemptEnd


class ListedMetrics(GatewayMetrics):
    """Metrics in a list; the usage of answers is summed apart."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, str, str]] = []
        self.tokens: dict[str, tuple[int, int]] = {}
        self.tiers: list[tuple[str, str]] = []
        self.ends: list[AttemptEnd] = []

    def breaker_turned(self, model: str, to: str) -> None:
        self.counted.append(("breaker", model, to))

    def fell_back(self, model: str, to: str) -> None:
        self.counted.append(("fallback", model, to))

    def attempt_ended(self, end: AttemptEnd) -> None:
        self.ends.append(end)
        if end.usage is None:
            return
        read, cached = self.tokens.get(end.model, (0, 0))
        self.tokens[end.model] = (read + end.usage.input_tokens, cached + end.usage.cached_input_tokens)
        if end.service_tier is not None:
            self.tiers.append((end.model, tier_label(end.service_tier)))

    def requested_again(self, model: str) -> None:
        self.counted.append(("again", model, ""))

    def refused(self, model: str, cause: RefusalCause) -> None:
        self.counted.append(("refused", model, cause))

    def upload_refused(self, limit: UploadLimit) -> None:
        self.counted.append(("upload", limit, ""))

    def set_aside_usage(self) -> None:
        self.counted.append(("set aside", "", ""))

    def authentication_failed(self, credential: Credential, reason: FailureReason) -> None:
        self.counted.append(("authentication", credential, reason))
