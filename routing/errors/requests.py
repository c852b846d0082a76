"""The caller's request is wrong."""

from __future__ import annotations

from routing.errors.base import RayroomError


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
