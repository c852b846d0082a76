"""The root of the error tree, and the errors that belong to no branch."""

from __future__ import annotations

from typing import Any, ClassVar


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


class ConfigurationError(RayroomError):
    """The configuration is wrong."""

    code = "configuration_error"
