"""Errors and headers of Anthropic's Messages API."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from cluster.lab.emulator.core.capacity import LimitGauge, LimitStatus
from cluster.lab.emulator.core.protocol import StreamFrame, VendorRefusal
from cluster.lab.emulator.core.request import ParsedRequest

PREFIX: Final = "/anthropic/v1"
NAME: Final = "anthropic"
_REASONS: dict[str, tuple[int, str]] = {
    "no_key": (401, "x-api-key header is required"),
    "bad_request": (400, "The request is not valid."),
    "unknown_model": (404, "model: not found"),
    "requests": (429, "This request would exceed your organization's rate limit of requests per minute."),
    "tokens": (429, "This request would exceed your organization's rate limit of tokens per minute."),
    "concurrent": (429, "Number of concurrent connections has exceeded your rate limit."),
    "overloaded": (529, "Overloaded"),
}
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class AnthropicProtocol:
    """Errors and headers. The clock is there for the limits, whose resets are given as moments."""

    # A refusal has no text: it is a stop reason.
    refusal_words: tuple[str, ...] = ()

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def refusal_response(
        self, refusal: VendorRefusal, parsed: ParsedRequest, limit_status: LimitStatus
    ) -> web.Response:
        status, message = _REASONS.get(refusal.reason, (500, "Internal server error"))
        status = refusal.status or status
        if refusal.reason == "unknown_model":
            message = f"model: {parsed.model}"
        headers = self.headers(limit_status)
        if refusal.retry_after_s is not None:
            headers["retry-after"] = f"{max(1, round(refusal.retry_after_s))}"
        body = error_body(status, refusal.code, refusal.message or message) | {"request_id": headers["request-id"]}
        return web.json_response(body, status=status, headers=headers | refusal.headers)

    def headers(self, limit_status: LimitStatus) -> dict[str, str]:
        headers = {"request-id": f"req_{uuid.uuid4().hex}"}
        for name, gauge in (("requests", limit_status.requests), ("tokens", limit_status.tokens)):
            if gauge is not None:
                headers |= self._limit(name, gauge)
        return headers

    def overload(self) -> bytes:
        return event("error", **error_body(529, None, "Overloaded")).data

    def _limit(self, name: str, gauge: LimitGauge) -> dict[str, str]:
        whole_at = dt.datetime.fromtimestamp(self._clock() + gauge.reset_s, dt.UTC)
        prefix = f"anthropic-ratelimit-{name}"
        return {
            f"{prefix}-limit": str(gauge.limit),
            f"{prefix}-remaining": str(gauge.remaining),
            f"{prefix}-reset": whole_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        }


def error_body(status: int, code: str | None, message: str) -> dict[str, Any]:
    """Return Anthropic's error. A code that is no type of error is its detail, as a spend limit is."""
    kind = code if code in _TYPES.values() else _TYPES.get(status, "api_error")
    details = {} if code in (None, kind) else {"details": {"error_code": code}}
    return {"type": "error", "error": {"type": kind, "message": message} | details}


def event(kind: str, tokens: int = 0, **fields: Any) -> StreamFrame:
    """Return a server-sent event with its name, which Anthropic's SDK requires."""
    data = json.dumps({"type": kind} | fields)
    return StreamFrame(f"event: {kind}\ndata: {data}\n\n".encode(), tokens)
