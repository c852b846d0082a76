"""Defines the errors of a call to the router."""

from __future__ import annotations

from routing.errors import RayroomError


class RouterError(RayroomError):
    """A call to the router failed."""

    @property
    def http_status(self) -> int | None:
        """Return the status of the router's answer; None where there was no answer, or none that could be parsed."""
        return self.facts.get("http_status")


class RouterAway(RouterError):
    """The router cannot be reached, or did not answer in time."""

    retryable = True


class RouterBusy(RouterError):
    """The router is overloaded, or the tenant is over its rate limit or budget."""

    retryable = True


class TokenExpired(RouterError):
    """The room token expired; the room must be opened again."""

    retryable = True


class RouterRefused(RouterError):
    """The router refuses this room or this request, or its reply cannot be parsed. A retry will not help."""
