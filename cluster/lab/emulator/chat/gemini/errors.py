"""Gemini's errors: google.rpc.Status with its details."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from cluster.lab.emulator.core.capacity import LimitStatus
from cluster.lab.emulator.core.protocol import VendorRefusal
from cluster.lab.emulator.core.request import ParsedRequest

NAME: Final = "gemini"
PREFIX: Final = "/gemini/{version:v1|v1beta}"
_REASONS: dict[str, tuple[int, str]] = {
    "no_key": (403, "Method doesn't allow unregistered callers. Please use API Key to call this API."),
    "bad_request": (400, "Request contains an invalid argument."),
    "unknown_model": (404, "The model is not found for this API version, or is not supported for generateContent."),
    "requests": (429, "You exceeded your current quota, please check your plan and billing details."),
    "tokens": (429, "You exceeded your current quota, please check your plan and billing details."),
    "concurrent": (429, "Resource has been exhausted (e.g. check quota)."),
    "overloaded": (503, "The model is overloaded. Please try again later."),
}
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_QUOTAS = {
    "requests": ("generate_content_free_tier_requests", "GenerateRequestsPerMinutePerProjectPerModel"),
    "tokens": ("generate_content_paid_tier_input_token_count", "GenerateContentInputTokensPerModelPerMinute"),
}
Row = dict[str, Any]


def refusal_response(refusal: VendorRefusal, parsed: ParsedRequest, limit_status: LimitStatus) -> web.Response:
    """Return the response of a refused request."""
    status, message = _REASONS.get(refusal.reason, (500, "An internal error has occurred."))
    status = refusal.status or status
    body = error_body(status, refusal.code, refusal.message or message)
    details = _details(refusal, status, parsed, limit_status)
    if details:
        body["error"]["details"] = details
    return web.json_response(body, status=status, headers=refusal.headers)


def overload_body() -> Row:
    """Return the error of an overloaded model."""
    status, message = _REASONS["overloaded"]
    return error_body(status, None, message)


def error_body(status: int, code: str | None, message: str) -> Row:
    """Return Google's error; a code that is no status of its own belongs to the details."""
    name = code if code in _STATUSES.values() else _STATUSES.get(status, "UNKNOWN")
    return {"error": {"code": status, "message": message, "status": name}}


def _details(refusal: VendorRefusal, status: int, parsed: ParsedRequest, limit_status: LimitStatus) -> list[Row]:
    details = []
    if status == 429:
        details.append(_quota_failure(refusal, parsed, limit_status))
    elif refusal.code is not None and refusal.code not in _STATUSES.values():
        details.append(_row("ErrorInfo", reason=refusal.code, domain="googleapis.com"))
    if refusal.param is not None:
        wrong = {"field": refusal.param, "description": refusal.message}
        details.append(_row("BadRequest", fieldViolations=[wrong]))
    if refusal.retry_after_s is not None:
        delay = f"{refusal.retry_after_s:.9f}".rstrip("0").rstrip(".")
        details.append(_row("RetryInfo", retryDelay=f"{delay}s"))
    return details


def _quota_failure(refusal: VendorRefusal, parsed: ParsedRequest, limit_status: LimitStatus) -> Row:
    """Say which quota is spent; a fault's code names one, such as that of a whole day."""
    metric, quota = _QUOTAS["tokens" if refusal.reason == "tokens" else "requests"]
    if refusal.code is not None and refusal.code not in _STATUSES.values():
        quota = refusal.code
    gauge = limit_status.tokens if refusal.reason == "tokens" else limit_status.requests
    violation = {
        "quotaMetric": f"generativelanguage.googleapis.com/{metric}",
        "quotaId": quota,
        "quotaDimensions": {"location": "global", "model": parsed.model},
    }
    value = {} if gauge is None else {"quotaValue": str(gauge.limit)}
    return _row("QuotaFailure", violations=[violation | value])


def _row(kind: str, **fields: Any) -> Row:
    return {"@type": f"type.googleapis.com/google.rpc.{kind}"} | fields
