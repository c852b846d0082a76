"""The mapping of a vendor's failure to a ProviderError, by status, code and phase."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp

from routing.errors import (
    ProviderAuth,
    ProviderContextTooLong,
    ProviderError,
    ProviderMisconfigured,
    ProviderOverloaded,
    ProviderQuota,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderTruncated,
    ProviderUnconnected,
    ProviderUnreachable,
)
from routing.vendor_keys import hide_keys

LONGEST_RETRY_AFTER_S = 60.0
LONGEST_REASON_CHARS = 500
REDIRECTED = "The vendor redirects: set base_url."

Phase = Literal["connect", "first_token", "stream", "parse"]

# These codes override the status: a 429 for lack of credit does not pass by waiting.
_BY_CODE: dict[str, type[ProviderError]] = {
    "insufficient_quota": ProviderQuota,
    "credit_balance_exhausted": ProviderQuota,
    "billing_hard_limit_reached": ProviderQuota,
    "billing_not_active": ProviderQuota,
    "billing_error": ProviderQuota,
    "enforced_spend_limit_reached": ProviderQuota,
    "quota_exceeded": ProviderQuota,
    "API_KEY_INVALID": ProviderAuth,
    "invalid_api_key": ProviderAuth,
    "context_length_exceeded": ProviderContextTooLong,
    "request_too_large": ProviderContextTooLong,
}

# Anthropic, Gemini and vLLM have no code for a request that is too long, so their sentence must tell it.
_TOO_LONG = re.compile(
    r"prompt is too long|maximum context length|exceeds? (?:the|its) (?:maximum|configured limit|context)"
    r"|input token count .{0,40}exceeds|context (?:window|length) (?:exceeded|limit)"
    r"|exceed context limit",
    re.IGNORECASE,
)

# Anthropic answers 400 `invalid_request_error` where its account has no money left: no fault of the request.
_NO_MONEY = re.compile(r"credit balance is too low|reached your specified .{0,40}usage limits", re.IGNORECASE)

# An error inside a stream comes after HTTP 200, so the status is derived from its code.
_STATUS_OF_CODE = {
    "authentication_error": 401,
    "permission_error": 403,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "slow_down": 429,
    "RESOURCE_EXHAUSTED": 429,
    "api_error": 500,
    "server_error": 500,
    "INTERNAL": 500,
    "server_is_overloaded": 503,
    "UNAVAILABLE": 503,
    "timeout_error": 504,
    "DEADLINE_EXCEEDED": 504,
    "overloaded_error": 529,
}

_BY_STATUS: dict[int, type[ProviderError]] = {
    401: ProviderAuth,
    402: ProviderQuota,
    403: ProviderAuth,
    404: ProviderMisconfigured,
    405: ProviderMisconfigured,
    408: ProviderTimeout,
    409: ProviderOverloaded,
    413: ProviderContextTooLong,
    429: ProviderRateLimited,
}

# All four SDKs run on aiohttp, and its error is among the causes of theirs. Only that one is read, because the SDKs map
# it wrongly: the transport of OpenAI's SDK turns an immediate reset into a ConnectTimeout, and so an APITimeoutError.
_BY_TRANSPORT: tuple[tuple[type[BaseException], type[ProviderError], Phase | None], ...] = (
    (aiohttp.ConnectionTimeoutError, ProviderUnconnected, "connect"),
    (aiohttp.ClientConnectorError, ProviderUnconnected, "connect"),
    (TimeoutError, ProviderTimeout, None),
    (aiohttp.ClientError, ProviderUnreachable, None),
    (OSError, ProviderUnreachable, None),
)

# The exceptions that an SDK or an adapter raises when an answer has the wrong shape.
_UNREADABLE = (ValueError, LookupError, AttributeError, TypeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorResponse:
    """A vendor's error response."""

    status: int | None
    codes: tuple[Any, ...] = ()
    """The vendor's codes, the most specific first."""
    retry_after_s: float | None = None
    message: Any = field(default=None, repr=False)
    """The vendor's sentence. It is kept where the request is refused, because only the caller can mend the request."""
    param: Any = None
    """The parameter that the vendor names."""


def to_ours(
    error: Exception, phase: Phase, reply_of: Callable[[Exception], VendorResponse | None], sent: bool = True
) -> ProviderError:
    """Map any error of an attempt to a ProviderError; `reply_of` extracts the response from an error of the SDK.

    `sent` is False if no request has left: then the vendor charges nothing.
    """
    if isinstance(error, ProviderError):
        return error
    reply = reply_of(error)
    if reply is not None:
        return from_reply(reply, phase)
    if not sent and isinstance(error, _UNREADABLE):
        return _from_unsent(error)
    return _from_transport(error, phase)


def from_reply(reply: VendorResponse, phase: Phase) -> ProviderError:
    """Map a vendor's error response to a ProviderError."""
    codes = [code for code in map(_clean, reply.codes) if code]
    if reply.status is not None and 200 <= reply.status < 300 and not codes:
        return ProviderTruncated("The vendor's answer cannot be read.", phase="parse")
    status = reply.status if reply.status is not None and reply.status >= 300 else _status_of(codes)
    facts: dict[str, Any] = {"phase": phase, "vendor_status": status, "vendor_code": next(iter(codes), None)}
    kind = next((_BY_CODE[code] for code in codes if code in _BY_CODE), _by_status(status))
    reason = clean_reason(reply.message) if issubclass(kind, ProviderRefused) else None
    if kind is ProviderRefused and reason is not None and _TOO_LONG.search(reason):
        kind = ProviderContextTooLong
    if kind is ProviderRefused and reason is not None and _NO_MONEY.search(reason):
        kind, reason = ProviderQuota, None
    param = _clean_param(reply.param) if reason is not None else None
    known = {
        name: fact for name, fact in (facts | {"reason": reason, "vendor_param": param}).items() if fact is not None
    }
    return kind(REDIRECTED if redirects(status) else None, param, _capped(reply.retry_after_s), **known)


def clean_reason(message: Any) -> str | None:
    """Return a vendor's sentence on one line, of a bounded length and without anything like a key; None if empty."""
    if not isinstance(message, str):
        return None
    text = hide_keys(" ".join(message[: 2 * LONGEST_REASON_CHARS].split()))
    return text[:LONGEST_REASON_CHARS] or None


def redirects(status: int | None) -> bool:
    """Return whether a status is a redirect. None is followed, because the key must not reach another host."""
    return status is not None and 300 <= status < 400


def retry_after_s(headers: Mapping[str, str], *also_s: float | None) -> float | None:
    """Return the longest wait that a vendor requests, in its headers or in `also_s`."""
    asked = [_seconds(headers.get("retry-after-ms"), 1_000), _seconds(headers.get("retry-after"), 1), *also_s]
    return max((seconds for seconds in asked if seconds is not None), default=None)


def _by_status(status: int | None) -> type[ProviderError]:
    if status is None or status >= 500:
        return ProviderOverloaded
    if redirects(status):
        return ProviderMisconfigured
    return _BY_STATUS.get(status, ProviderRefused)


def _status_of(codes: list[str]) -> int | None:
    # A server that is compatible with OpenAI's protocol may send the status itself as its code.
    return next((int(code) if code.isdecimal() else _STATUS_OF_CODE[code] for code in codes if _has_status(code)), None)


def _has_status(code: str) -> bool:
    return code in _STATUS_OF_CODE or (code.isdecimal() and 400 <= int(code) <= 599)


def _from_transport(error: Exception, phase: Phase) -> ProviderError:
    causes = list(_causes(error))
    for transport, kind, known_phase in _BY_TRANSPORT:
        if any(isinstance(cause, transport) for cause in causes):
            return kind(phase=known_phase or phase)
    name = type(error).__name__
    if any(isinstance(cause, _UNREADABLE) for cause in causes):
        return ProviderTruncated(f"The vendor's answer cannot be read: {name}.", phase="parse")
    return ProviderUnreachable(f"The connection to the vendor failed: {name}.", phase=phase)


def _from_unsent(error: Exception) -> ProviderError:
    """Return the error of a request that an SDK could not build. A ValueError is the SDK's own check of its content."""
    name = type(error).__name__
    if isinstance(error, ValueError):
        facts: dict[str, Any] = {"phase": "connect", "reason": clean_reason(str(error))}
        return ProviderRefused(**{name: fact for name, fact in facts.items() if fact is not None})
    return ProviderUnconnected(f"The request to the vendor cannot be built: {name}.", phase="connect")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _clean(code: Any) -> str | None:
    """Return the code if it is a single word, and None for a sentence that a proxy put in its place."""
    text = str(code) if code is not None else ""
    return text if re.fullmatch(r"[\w.:/-]{1,64}", text) else None


def _clean_param(param: Any) -> str | None:
    text = str(param) if param is not None else ""
    return text if re.fullmatch(r"[\w.\[\]/:-]{1,128}", text) else None


def _seconds(value: Any, scale: int) -> float | None:
    try:
        return max(float(value) / scale, 0.0)
    except (TypeError, ValueError):
        return None


def _capped(seconds: float | None) -> float | None:
    return None if seconds is None else min(seconds, LONGEST_RETRY_AFTER_S)
