"""Types that bound the settings of a deployer, and the text of a validation error."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, ValidationError

STRICT = ConfigDict(extra="forbid")
"""The pydantic configuration of a settings dataclass: an unknown key in a file is an error."""

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^\s/]\S*$")]


def first_error(error: ValidationError) -> tuple[str, str]:
    """Return the dotted path of the first wrong field, empty for the whole value, and pydantic's message about it.

    The value itself is never included, because it may be a prompt, a picture or a key.
    """
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return ".".join(map(str, first["loc"])), first["msg"]
