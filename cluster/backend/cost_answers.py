"""Sort the outcomes of analytics.trackCost: stored, later, or refused."""

from __future__ import annotations

from typing import Any

from cluster.backend.trpc_response import KEY_CODES, TOO_LARGE, TRANSIENT, TrpcError
from cluster.costs.row_answers import CallTooLarge, RowAnswer

_LATER = (
    TRANSIENT
    | KEY_CODES
    # Of one window: another limit of the server may let it through. The others are the server's or a proxy's setting.
    | {TOO_LARGE, "PAYMENT_REQUIRED", "NOT_IMPLEMENTED", "METHOD_NOT_SUPPORTED", "UNSUPPORTED_MEDIA_TYPE"}
)


def row_answer(outcome: Any) -> RowAnswer:
    """Return the answer to one window from its data or its TrpcError.

    CONFLICT is the answer of a backend with a unique `flushId` that has the window already.
    """
    if not isinstance(outcome, TrpcError):
        return _stored(outcome)
    if outcome.reason == "CONFLICT":
        return RowAnswer(kind="duplicate", reason=outcome.reason)
    kind = "later" if outcome.reason in _LATER else "refused"
    return RowAnswer(kind=kind, reason=outcome.reason, retry_after_s=outcome.retry_after_s)  # type: ignore[arg-type]


def raise_too_large(outcomes: list[Any]) -> None:
    """Raise CallTooLarge for a batch of which every item is too large: tRPC reads the body once for all of them."""
    if len(outcomes) > 1 and all(isinstance(one, TrpcError) and one.reason == TOO_LARGE for one in outcomes):
        raise CallTooLarge(f"The backend returned {TOO_LARGE} for each of {len(outcomes)} rows.")


def _stored(data: Any) -> RowAnswer:
    """Return whether this call stored the window, where the data tells it: `inserted` and `duplicates`, as numbers."""
    inserted = data.get("inserted") if isinstance(data, dict) else None
    if not isinstance(inserted, int):
        return RowAnswer(kind="stored")
    if inserted:
        return RowAnswer(kind="inserted")
    if data.get("duplicates", 1):
        return RowAnswer(kind="duplicate")
    return RowAnswer(kind="refused", reason="NOT_STORED")
