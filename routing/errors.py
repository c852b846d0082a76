"""All errors that a caller of rayroom can receive, in one tree.

RayroomError
├── BadInput                 the caller's request is wrong                 400
│   ├── NotAJpeg             the body is something else                    415
│   ├── TooLarge             bytes, pixels or tokens beyond the limit      413
│   ├── ContextTooLong       more tokens than the model takes              400
│   ├── UnknownParameter     the request has no such parameter             400
│   ├── UnsupportedOption    the model does not accept an option           400
│   ├── BodyTimeout          the body came too slowly                      408
│   ├── RequestRefused       the vendor rejects the request itself         400
│   ├── UnknownModel         no such row in the catalogue                  404
│   │   └── RetiredModel     the vendor has ended it; names its successor  410
│   └── RoomNameInvalid      outside tenant_{tenant_id}_{meeting_id}       400
├── Unauthorized             no key or token, or a bad one                 401
│   ├── ExpiredToken         the token's time is over                      401
│   └── RoomClosed           the token's room was closed                   401
├── Forbidden                a good token, for something else              403
│   └── TenantSuspended      this tenant is inactive in the backend        403
├── TenantUnknown            the backend has no such tenant                404
├── BudgetExceeded           the tenant's money is spent                   402
├── RateLimited              this tenant exceeds its request rate          429
├── Overloaded               every replica is busy                         503
├── CostsUnavailable         the cost journal did not answer in time       503
├── BackendError             the company's backend
│   ├── BackendUnavailable   no response, or a temporary failure           503
│   └── BackendRefused       it rejects our key or configuration           502
├── ToolUnknown              the room has no such tool                     404
├── ToolChanged              its source describes the tool otherwise now   409
├── ToolUnconfirmed          a tool that changes something, without a yes  403
├── ToolError                the source of a tool failed                   502
│   ├── ToolTimeout          it did not answer in time                     504
│   └── ToolAddressRefused   its address is not one that it may have       502
├── ProviderError            a vendor's attempt failed                     502
│   ├── ProviderTimeout      one of our timers expired                     504
│   ├── ProviderRateLimited  the vendor limits our request rate
│   ├── ProviderQuota        the vendor's credit is spent
│   ├── ProviderOverloaded   the vendor responds with 5xx or 529
│   ├── ProviderRefused      the vendor rejects the request itself         400
│   │   ├── ProviderContextTooLong  more tokens than the model takes       400
│   │   └── ProviderMisconfigured   its address or the model's name there  502
│   ├── ProviderAuth         the vendor rejects our key
│   ├── ProviderUnreachable  the connection broke
│   │   └── ProviderUnconnected  no connection was made: no request was sent
│   ├── ProviderTruncated    the answer ended without its finish marker
│   │   └── ThinkingExhausted  thinking took all of the output limit
│   └── ReplicaLost          the replica died with the request in it
└── ConfigurationError       a setting is wrong, reported at start         500
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from routing.models import Usage


class RayroomError(Exception):
    """Something went wrong in rayroom."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    type: ClassVar[str] = "server_error"
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str | None = None, param: str | None = None, retry_after_s: float | None = None, **facts: Any
    ) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.param = param
        self.retry_after_s = retry_after_s
        self.facts = facts
        super().__init__(self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.param, self.retry_after_s, self.facts)

    def envelope(self) -> dict[str, Any]:
        """Return OpenAI's error body: `{"error": {message, type, code, param, ...facts}}`."""
        error = {"message": self.message, "type": self.type, "code": self.code, "param": self.param}
        return {"error": error | self.facts}


def _rebuild(
    kind: type[RayroomError], message: str, param: str | None, retry_after_s: float | None, facts: dict[str, Any]
) -> RayroomError:
    return kind(message, param, retry_after_s, **facts)


class BadInput(RayroomError):
    """The request is not valid."""

    status = 400
    code = "invalid_value"
    type = "invalid_request_error"


class NotAJpeg(BadInput):
    """The body is not a JPEG image."""

    status = 415
    code = "unsupported_media_type"


class TooLarge(BadInput):
    """The request is larger than the limit."""

    status = 413
    code = "too_large"


class ContextTooLong(BadInput):
    """The messages are longer than the model's context."""

    code = "context_length_exceeded"


class UnknownParameter(BadInput):
    """The request has a parameter that does not exist."""

    code = "unknown_parameter"


class UnsupportedOption(BadInput):
    """The model does not accept an option of the request."""

    code = "unsupported_parameter"


class BodyTimeout(BadInput):
    """The body of the request did not arrive in time."""

    status = 408
    code = "request_timeout"


class RequestRefused(BadInput):
    """The vendor refuses the request."""

    status = 400
    code = "request_refused"


class UnknownModel(BadInput):
    """The catalogue has no such model."""

    status = 404
    code = "model_not_found"


class RetiredModel(UnknownModel):
    """The vendor has retired this model."""

    status = 410
    code = "model_retired"


class RoomNameInvalid(BadInput):
    """A room must be named tenant_{tenant_id}_{meeting_id}, and a tenant id has no underscore."""

    code = "invalid_room_name"


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


class Overloaded(RayroomError):
    """All replicas are busy."""

    status = 503
    code = "overloaded"
    retryable = True


class CostsUnavailable(RayroomError):
    """The cost journal did not answer in time."""

    status = 503
    code = "costs_unavailable"
    retryable = True


class BackendError(RayroomError):
    """The backend failed."""

    status = 502
    code = "backend_error"


class BackendUnavailable(BackendError):
    """The backend did not answer."""

    status = 503
    code = "backend_unavailable"
    retryable = True


class BackendRefused(BackendError):
    """The backend rejects the request: its key, transformer or procedures do not match the configuration."""

    code = "backend_refused"


class ToolUnknown(RayroomError):
    """The room has no such tool."""

    status = 404
    code = "tool_not_found"
    type = "invalid_request_error"


class ToolChanged(RayroomError):
    """The tool is not as it was when the room's tools were listed; list them again."""

    status = 409
    code = "tool_changed"
    type = "invalid_request_error"


class ToolUnconfirmed(Forbidden):
    """The tool changes something, and nobody has confirmed the call."""

    code = "tool_unconfirmed"


class ToolError(RayroomError):
    """The source of the tool failed."""

    status = 502
    code = "tool_failed"


class ToolTimeout(ToolError):
    """The source of the tool did not answer in time."""

    status = 504
    code = "tool_timeout"


class ToolAddressRefused(ToolError):
    """The address of the tool's server is not one that the operator allows."""

    code = "tool_address_refused"


class ProviderError(RayroomError):
    """A vendor's attempt failed."""

    # An adapter adds the facts `phase` (connect, first_token, stream, parse), `vendor_status` and `vendor_code`.
    status = 502
    code = "provider_error"
    billable: ClassVar[bool] = True
    """Whether the vendor may have charged for an attempt that left and brought no piece of an answer."""
    spent: Usage | None = None
    """The usage of the attempt as its model replica knows it: empty where no request left, None where unknown."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (*super().__reduce__(), {"spent": self.spent})


class ProviderTimeout(ProviderError):
    """The vendor did not answer in time."""

    status = 504
    code = "provider_timeout"
    retryable = True


class ProviderRateLimited(ProviderError):
    """The vendor asked us to slow down."""

    status = 503
    code = "provider_rate_limited"
    retryable = True
    billable = False


class ProviderQuota(ProviderError):
    """The vendor's credit or quota is spent."""

    code = "provider_quota"
    billable = False


class ProviderOverloaded(ProviderError):
    """The vendor is overloaded."""

    status = 503
    code = "provider_overloaded"
    retryable = True
    billable = False


class ProviderRefused(ProviderError):
    """The vendor rejects the request."""

    # An adapter adds the facts `reason`, the vendor's own sentence, and `vendor_param`. Both are for the caller alone.
    status = 400
    code = "provider_refused"
    type = "invalid_request_error"
    billable = False

    @property
    def reason(self) -> str | None:
        """Return the vendor's own sentence, or None. It may repeat the request, so it must not be logged."""
        return self.facts.get("reason")

    @property
    def vendor_param(self) -> str | None:
        """Return the vendor's name of the wrong parameter, or None."""
        return self.facts.get("vendor_param")


class ProviderContextTooLong(ProviderRefused):
    """The request is longer than the model's context."""

    code = "context_length_exceeded"


class ProviderMisconfigured(ProviderRefused):
    """The vendor does not serve this address or model: the configuration is wrong, and not the request."""

    status = 502
    code = "provider_misconfigured"
    type = "server_error"


class ProviderAuth(ProviderError):
    """The vendor rejects our key."""

    code = "provider_auth"
    billable = False


class ProviderUnreachable(ProviderError):
    """The connection to the vendor failed."""

    code = "provider_unreachable"
    retryable = True


class ProviderUnconnected(ProviderUnreachable):
    """No connection to the vendor was made, so no request reached it."""

    billable = False


class ProviderTruncated(ProviderError):
    """The vendor's answer ended before its finish marker."""

    code = "provider_truncated"
    retryable = True


class ThinkingExhausted(ProviderTruncated):
    """Thinking used up the output limit before the answer began."""

    code = "thinking_exhausted"


class ReplicaLost(ProviderError):
    """The replica that called the vendor died before the answer arrived."""

    status = 503
    code = "replica_lost"
    retryable = True


class ConfigurationError(RayroomError):
    """The configuration is wrong."""

    code = "configuration_error"
