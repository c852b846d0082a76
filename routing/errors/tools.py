"""A tool cannot be called, or its source failed."""

from __future__ import annotations

from routing.errors.access import Forbidden
from routing.errors.base import RayroomError


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
