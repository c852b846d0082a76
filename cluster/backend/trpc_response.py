"""Reads a tRPC server's HTTP reply: a body within bounds, and the data or the error in it, in either transformer."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import httpx

from routing.errors import BackendError, BackendRefused, BackendUnavailable

MAX_REPLY_BYTES = 2 * 1024 * 1024
"""More than fifty tenants, twenty long passages or a batch's receipts come to; what is larger is not read."""
LONGEST_RETRY_AFTER_S = 300.0
Transformer = Literal["plain", "superjson"]
# What says that the same call may succeed later; everything else is for good.
PASSING = {
    "TIMEOUT",
    "TOO_MANY_REQUESTS",
    "INTERNAL_SERVER_ERROR",
    "BAD_GATEWAY",
    "SERVICE_UNAVAILABLE",
    "GATEWAY_TIMEOUT",
    "CLIENT_CLOSED_REQUEST",
}
_OUR_FAULT = {"UNAUTHORIZED", "FORBIDDEN"}
# A code is said on to callers and logs: what is no name of an error may be anything.
_CODE = re.compile(r"[A-Z][A-Z_]{1,39}")


class TrpcError(BackendError):
    """A procedure answered with an error."""

    @property
    def reason(self) -> str:
        """The error's tRPC code, such as NOT_FOUND."""
        return str(self.facts.get("reason", "UNKNOWN"))


async def read(response: httpx.Response) -> Any:
    """Return a reply's JSON; raises BackendError for what is none, and as soon as it is too large or compressed."""
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        # Twelve kilobytes may hold hundreds of megabytes, and nobody asked for them.
        raise _refused(response, "compressed though it was not to be: turn compression off for its tRPC routes")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_REPLY_BYTES:
            raise _refused(response, f"larger than {MAX_REPLY_BYTES} bytes")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise not_trpc(response) from None


def outcome(response: httpx.Response, item: Any, procedure: str, transformer: Transformer) -> Any:
    """Return an item's data, or its TrpcError; raises BackendError for what is no envelope, or our own fault.

    A batch's status is its items' own, or 207 where they differ: no item that succeeded comes with another than 2xx.
    """
    if not isinstance(item, dict):
        raise not_trpc(response)
    if isinstance(item.get("result"), dict) and response.is_success:
        return _unwrapped(item["result"].get("data"), procedure, transformer)
    error: Any = item.get("error")
    code, message = _told(error)
    if code is None:
        raise not_trpc(response)
    if code in _OUR_FAULT:
        raise BackendRefused(f"{procedure}: {code}; check backend.url and the key in backend.key_env.")
    if code == "NOT_FOUND" and message.startswith("No procedure found"):
        raise BackendRefused(f"{procedure}: the backend has no such procedure.")
    if code == "BAD_REQUEST" and ("json" in error) != (transformer == "superjson"):
        raise _other_transformer(procedure, transformer)
    # Its text is left behind: it may quote anything, and this error goes on to the router's callers.
    return TrpcError(f"{procedure}: the backend answered {code}.", retry_after_s=_retry_after_s(response), reason=code)


def unavailable(error: TrpcError) -> BackendUnavailable:
    return BackendUnavailable(f"The backend answered {error.reason}.", retry_after_s=error.retry_after_s)


def not_trpc(response: httpx.Response) -> BackendError:
    """Return the error for a reply that is no tRPC envelope: a proxy's page, or a limit of the HTTP server below it."""
    return _refused(response, f"HTTP {response.status_code} with something that is not tRPC")


def _told(error: Any) -> tuple[str | None, str]:
    """Return an error's code, None where it tells none, and its message."""
    shape: Any = error.get("json", error) if isinstance(error, dict) else None
    data = shape.get("data") if isinstance(shape, dict) else None
    code = data.get("code") if isinstance(data, dict) else None
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        return None, ""
    return code, str(shape.get("message", ""))


def _unwrapped(data: Any, procedure: str, transformer: Transformer) -> Any:
    wrapped = isinstance(data, dict) and "json" in data and set(data) <= {"json", "meta"}
    if data is not None and wrapped != (transformer == "superjson"):
        raise _other_transformer(procedure, transformer)
    return data["json"] if wrapped else data


def _other_transformer(procedure: str, transformer: Transformer) -> BackendRefused:
    return BackendRefused(f"{procedure}: the backend uses another transformer than backend.transformer={transformer}.")


def _refused(response: httpx.Response, what: str) -> BackendError:
    """Return the error for an answer that cannot be used; one whose status says "not now" may be better later."""
    if response.status_code >= 500 or response.status_code in (408, 429):
        return BackendUnavailable(
            f"The backend answered HTTP {response.status_code}.", retry_after_s=_retry_after_s(response)
        )
    return BackendRefused(f"The backend's answer is {what}.")


def _retry_after_s(response: httpx.Response) -> float | None:
    try:
        # In this order NaN is zero.
        return min(max(0.0, float(response.headers["retry-after"])), LONGEST_RETRY_AFTER_S)
    except (KeyError, ValueError):
        return None
