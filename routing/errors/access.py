"""The caller, or its tenant, may not do this, or not now: keys, tokens, budgets and rates."""

from __future__ import annotations

from typing import Any

from routing.errors.base import RayroomError


class Unauthorized(RayroomError):
    """A valid key or token is needed."""

    status = 401
    code = "invalid_api_key"
    type = "authentication_error"


class ExpiredToken(Unauthorized):
    """The room token has expired; open the room again."""


class RoomClosed(Unauthorized):
    """The room of this token was closed; open it again."""

    code = "room_closed"


class Forbidden(RayroomError):
    """The token is valid but has no permission for this room or tenant."""

    status = 403
    code = "forbidden"
    type = "permission_error"


class TenantSuspended(Forbidden):
    """This tenant is suspended."""

    code = "tenant_suspended"


class TenantUnknown(RayroomError):
    """The backend has no such tenant."""

    status = 404
    code = "tenant_not_found"
    type = "invalid_request_error"


class BudgetExceeded(RayroomError):
    """The tenant's budget is spent."""

    status = 402
    code = "budget_exceeded"
    type = "billing_error"

    def __init__(
        self, message: str | None = None, param: str | None = None, retry_after_s: float | None = None, **facts: Any
    ) -> None:
        if message is None and {"estimate_nanousd", "remaining_nanousd"} <= facts.keys():
            # Written here, because the journal sends its facts alone.
            budget = {"daily": "the tenant's daily", "room": "the room's daily"}.get(
                str(facts.get("budget")), "the tenant's monthly"
            )
            until = f" until {facts['resets_at']}" if "resets_at" in facts else ""
            message = (
                f"The request may cost {facts['estimate_nanousd']} nano-dollars, and {facts['remaining_nanousd']}"
                f" of {budget} budget remain{until}."
            )
        super().__init__(message, param, retry_after_s, **facts)


class RateLimited(RayroomError):
    """This tenant sends more requests than its plan allows."""

    status = 429
    code = "rate_limit_exceeded"
    type = "rate_limit_error"
    retryable = True
