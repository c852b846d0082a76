"""Turns what went wrong with a vendor into our error, by status, code and phase. Knows no vendor's SDK."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp

from routing.errors import (
    ProviderAuth,
    ProviderError,
    ProviderOverloaded,
    ProviderQuota,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderTruncated,
    ProviderUnconnected,
    ProviderUnreachable,
)

LONGEST_RETRY_AFTER_S = 60.0
REDIRECTED = "The vendor redirects: set base_url."

Phase = Literal["connect", "first_token", "stream", "parse"]

# What these codes say is not what their status says: a 429 for want of credit will not pass by waiting.
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
}

# An error inside a stream comes after HTTP 200: its code has to say the status.
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
    408: ProviderTimeout,
    409: ProviderOverloaded,
    429: ProviderRateLimited,
}

# All four SDKs run on aiohttp, and its error is among the causes of theirs. It is asked, because what is above it lies:
# a connection reset at once is a ConnectTimeout to the transport of OpenAI's SDK, and so an APITimeoutError.
_BY_TRANSPORT: tuple[tuple[type[BaseException], type[ProviderError], Phase | None], ...] = (
    (aiohttp.ConnectionTimeoutError, ProviderUnconnected, "connect"),
    (aiohttp.ClientConnectorError, ProviderUnconnected, "connect"),
    (TimeoutError, ProviderTimeout, None),
    (aiohttp.ClientError, ProviderUnreachable, None),
    (OSError, ProviderUnreachable, None),
)

# What reading an answer of the wrong shape raises, in an SDK or in an adapter.
_UNREADABLE = (ValueError, LookupError, AttributeError, TypeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorResponse:
    """What a vendor said when it did not answer: no prose, for that may repeat the prompt."""

    status: int | None
    codes: tuple[Any, ...] = ()
    """The vendor's codes, the most telling first."""
    retry_after_s: float | None = None


def to_ours(error: Exception, phase: Phase, reply_of: Callable[[Exception], VendorResponse | None]) -> ProviderError:
    """Return any error of an attempt as ours; `reply_of` finds what the vendor said in an error of its SDK."""
    if isinstance(error, ProviderError):
        return error
    reply = reply_of(error)
    if reply is not None:
        return from_reply(reply, phase)
    return _from_transport(error, phase)


def from_reply(reply: VendorResponse, phase: Phase) -> ProviderError:
    """Return what a vendor said as our error."""
    codes = [code for code in map(_clean, reply.codes) if code]
    if reply.status is not None and 200 <= reply.status < 300 and not codes:
        return ProviderTruncated("The vendor's answer cannot be read.", phase="parse")
    status = reply.status if reply.status is not None and reply.status >= 300 else _status_of(codes)
    facts: dict[str, Any] = {"phase": phase, "vendor_status": status, "vendor_code": next(iter(codes), None)}
    kind = next((_BY_CODE[code] for code in codes if code in _BY_CODE), _by_status(status))
    known = {name: fact for name, fact in facts.items() if fact is not None}
    return kind(REDIRECTED if redirects(status) else None, None, _capped(reply.retry_after_s), **known)


def redirects(status: int | None) -> bool:
    """Tell whether a vendor is asked where it is not. It is not followed there: the key is for nobody else."""
    return status is not None and 300 <= status < 400


def retry_after_s(headers: Mapping[str, str], *also_s: float | None) -> float | None:
    """Return the longest wait that a vendor asks for, in its headers or elsewhere."""
    asked = [_seconds(headers.get("retry-after-ms"), 1_000), _seconds(headers.get("retry-after"), 1), *also_s]
    return max((seconds for seconds in asked if seconds is not None), default=None)


def _by_status(status: int | None) -> type[ProviderError]:
    if status is None or status >= 500:
        return ProviderOverloaded
    return _BY_STATUS.get(status, ProviderRefused)


def _status_of(codes: list[str]) -> int | None:
    # A server that only speaks OpenAI's protocol may give the status itself as its code.
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


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _clean(code: Any) -> str | None:
    """Return a code that is one: a word, not a sentence that a proxy put in its place."""
    text = str(code) if code is not None else ""
    return text if re.fullmatch(r"[\w.:/-]{1,64}", text) else None


def _seconds(value: Any, scale: int) -> float | None:
    try:
        return max(float(value) / scale, 0.0)
    except (TypeError, ValueError):
        return None


def _capped(seconds: float | None) -> float | None:
    return None if seconds is None else min(seconds, LONGEST_RETRY_AFTER_S)
