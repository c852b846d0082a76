"""An attempt at a vendor failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from routing.errors.base import RayroomError

if TYPE_CHECKING:
    from routing.models.costs import Usage


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
