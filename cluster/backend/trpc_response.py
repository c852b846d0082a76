"""Decode a tRPC server's HTTP reply into data or an error, in either transformer."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import httpx

from cluster.costs.row_answers import CallTooLarge
from routing.errors import BackendError, BackendRefused, BackendUnavailable

MAX_REPLY_BYTES = 2 * 1024 * 1024
"""More than the size of fifty tenants, twenty long passages or a batch's receipts. A larger body is not read."""
MAX_RETRY_AFTER_S = 300.0
Transformer = Literal["plain", "superjson"]
# The codes after which the same call may succeed later; all others are permanent.
TRANSIENT = {
    "TIMEOUT",
    "TOO_MANY_REQUESTS",
    "INTERNAL_SERVER_ERROR",
    "BAD_GATEWAY",
    "SERVICE_UNAVAILABLE",
    "GATEWAY_TIMEOUT",
    "CLIENT_CLOSED_REQUEST",
}
KEY_CODES = {"UNAUTHORIZED", "FORBIDDEN"}
TOO_LARGE = "PAYLOAD_TOO_LARGE"
_TOO_LARGE_STATUSES = {413, 414}
# A code is passed on to callers and logs, so only the form of an error name is accepted.
_CODE = re.compile(r"[A-Z][A-Z_]{1,39}")


class TrpcError(BackendError):
    """A procedure returned an error."""

    @property
    def reason(self) -> str:
        """The error's tRPC code, such as NOT_FOUND."""
        return str(self.facts.get("reason", "UNKNOWN"))


class NoProcedure(BackendRefused):
    """The backend has no such procedure."""


async def read(response: httpx.Response) -> Any:
    """Return a reply's JSON; raises BackendError for invalid JSON, and at once for a compressed or too large body."""
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        # The request forbids compression: twelve kilobytes may expand to hundreds of megabytes.
        raise _unusable(response, "compressed: turn compression off for its tRPC routes")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_REPLY_BYTES:
            raise _unusable(response, f"larger than {MAX_REPLY_BYTES} bytes")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise not_trpc(response) from None


def outcome(response: httpx.Response, item: Any, procedure: str, transformer: Transformer) -> Any:
    """Return an item's data or its TrpcError; raises BackendError for no envelope, or for a procedure or a transformer
    that does not match the configuration.

    The status of a batch is that of its items, or 207 when they differ, so a success always has a 2xx status.
    """
    if not isinstance(item, dict):
        raise not_trpc(response)
    if isinstance(item.get("result"), dict) and response.is_success:
        return _unwrapped(item["result"].get("data"), procedure, transformer)
    error: Any = item.get("error")
    code, message = _code_and_message(error)
    if code is None:
        raise not_trpc(response)
    if code == "NOT_FOUND" and message.startswith("No procedure found"):
        raise NoProcedure(f"{procedure}: the backend has no such procedure.")
    if code == "BAD_REQUEST" and ("json" in error) != (transformer == "superjson"):
        raise _other_transformer(procedure, transformer)
    # The backend's message is dropped: it may quote anything, and this error reaches the router's callers.
    return TrpcError(f"{procedure}: the backend returned {code}.", retry_after_s=_retry_after_s(response), reason=code)


def unavailable(error: TrpcError) -> BackendUnavailable:
    """Return a transient error as BackendUnavailable."""
    return BackendUnavailable(f"The backend returned {error.reason}.", retry_after_s=error.retry_after_s)


def key_refused(procedure: str, error: TrpcError) -> BackendRefused:
    """Return the error for a key that the backend does not accept."""
    return BackendRefused(f"{procedure}: {error.reason}; check backend.url and the key in backend.key_env.")


def not_trpc(response: httpx.Response) -> BackendError:
    """Return the error for a reply without a tRPC envelope, such as a proxy's page or an HTTP server's own error."""
    return _unusable(response, f"HTTP {response.status_code} with something that is not tRPC")


def _code_and_message(error: Any) -> tuple[str | None, str]:
    """Return an error's code, None if it has none, and its message."""
    content: Any = error.get("json", error) if isinstance(error, dict) else None
    data = content.get("data") if isinstance(content, dict) else None
    code = data.get("code") if isinstance(data, dict) else None
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        return None, ""
    return code, str(content.get("message", ""))


def _unwrapped(data: Any, procedure: str, transformer: Transformer) -> Any:
    wrapped = isinstance(data, dict) and "json" in data and set(data) <= {"json", "meta"}
    if data is not None and wrapped != (transformer == "superjson"):
        raise _other_transformer(procedure, transformer)
    return data["json"] if wrapped else data


def _other_transformer(procedure: str, transformer: Transformer) -> BackendRefused:
    return BackendRefused(
        f"{procedure}: the backend uses another transformer than backend.transformer={transformer}; change it."
    )


def _unusable(response: httpx.Response, reason: str) -> BackendError:
    """Return the error for an unusable answer; a status of 408, 429 or 5xx makes it transient."""
    if response.status_code >= 500 or response.status_code in (408, 429):
        return BackendUnavailable(
            f"The backend returned HTTP {response.status_code}.", retry_after_s=_retry_after_s(response)
        )
    if response.status_code in _TOO_LARGE_STATUSES:
        return CallTooLarge(f"The backend returned HTTP {response.status_code}.")
    return BackendRefused(f"The backend's answer is {reason}.")


def _retry_after_s(response: httpx.Response) -> float | None:
    try:
        # max() with 0.0 first returns 0.0 for NaN.
        return min(max(0.0, float(response.headers["retry-after"])), MAX_RETRY_AFTER_S)
    except (KeyError, ValueError):
        return None
