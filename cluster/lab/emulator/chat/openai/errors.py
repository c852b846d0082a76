"""Errors and headers of OpenAI's protocols."""

from __future__ import annotations

import json
import uuid
from typing import Any, Final

from aiohttp import web

from cluster.lab.emulator.core.capacity import LimitGauge, LimitStatus
from cluster.lab.emulator.core.protocol import StreamFrame, VendorRefusal
from cluster.lab.emulator.core.request import ParsedRequest

NAME: Final = "openai"
PREFIX: Final = "/openai/v1"
# A fixed creation time keeps the answers of one seed identical; no client reads it.
CREATED_S: Final = 1_764_000_000
_QUOTA = ("insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached")
_REASONS: dict[str, tuple[int, str | None, str]] = {
    "no_key": (401, "invalid_api_key", "You didn't provide an API key."),
    "bad_request": (400, None, "The request is not valid."),
    "unknown_model": (404, "model_not_found", "The model does not exist or you do not have access to it."),
    "requests": (429, "rate_limit_exceeded", "Rate limit reached on requests per min (RPM)."),
    "tokens": (429, "rate_limit_exceeded", "Rate limit reached on tokens per min (TPM)."),
    "concurrent": (429, "slow_down", "Too many requests at once. Slow down."),
    "overloaded": (503, "server_is_overloaded", "The server is overloaded. Try again later."),
}
_CODES = {
    400: "invalid_value",
    401: "invalid_api_key",
    403: "unsupported_country_region_territory",
    404: "model_not_found",
    429: "rate_limit_exceeded",
    503: "server_is_overloaded",
}


class OpenAIProtocol:
    """Errors and headers of all three protocols."""

    refusal_words: tuple[str, ...] = ("I", "cannot", "help", "with", "that.")

    def refusal_response(
        self, refusal: VendorRefusal, parsed: ParsedRequest, limit_status: LimitStatus
    ) -> web.Response:
        status, code, message = _REASONS.get(refusal.reason, (500, "server_error", "The server had an error."))
        status = refusal.status or status
        if refusal.reason == "fault":
            code = _CODES.get(status, "server_error")
        body = error_body(status, refusal.code or code, refusal.message or message, refusal.param)
        if refusal.reason == "tokens":
            body["error"]["type"] = "tokens"
        headers = self.headers(limit_status)
        if refusal.retry_after_s is not None:
            headers |= {
                "retry-after": f"{max(1, round(refusal.retry_after_s))}",
                "retry-after-ms": f"{refusal.retry_after_s * 1_000:.0f}",
            }
        return web.json_response(body, status=status, headers=headers | refusal.headers)

    def headers(self, limit_status: LimitStatus) -> dict[str, str]:
        headers = {"x-request-id": f"req_{uuid.uuid4().hex}", "openai-version": "2020-10-01"}
        for name, gauge in (("requests", limit_status.requests), ("tokens", limit_status.tokens)):
            if gauge is not None:
                headers |= _rate_headers(name, gauge)
        return headers

    def overload(self) -> bytes:
        return data_event(overload_body()).data


def overload_body() -> dict[str, Any]:
    """Return the error of an overloaded server."""
    status, code, message = _REASONS["overloaded"]
    return error_body(status, code, message)


def error_body(status: int, code: str | None, message: str, param: str | None = None) -> dict[str, Any]:
    """Return OpenAI's error; `type` is its kind, and of a rate limit, the limit on requests."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    if code in _QUOTA:
        kind = str(code)
    elif status == 429:
        kind = "requests"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def data_event(event: dict[str, Any], tokens: int = 0) -> StreamFrame:
    """Return a server-sent event without a name, as chat completions have them."""
    return StreamFrame(f"data: {json.dumps(event)}\n\n".encode(), tokens)


def duration(seconds: float) -> str:
    """Return a time as OpenAI's headers have it: `12ms`, `7.66s`, `6m0s`."""
    if seconds < 1:
        return f"{seconds * 1_000:.0f}ms"
    minutes, rest = divmod(round(seconds, 2), 60)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"


def _rate_headers(name: str, gauge: LimitGauge) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{name}": str(gauge.limit),
        f"x-ratelimit-remaining-{name}": str(gauge.remaining),
        f"x-ratelimit-reset-{name}": duration(gauge.reset_s),
    }
