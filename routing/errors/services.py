"""A part of the cluster, or the company's backend, cannot serve the request."""

from __future__ import annotations

from routing.errors.base import RayroomError


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
