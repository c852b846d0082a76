"""The kinds of values that a deployer may set, checked where they are read. Holds no values."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

STRICT = ConfigDict(extra="forbid")
"""For a dataclass of settings: a key it does not know is refused when it is read from a file."""

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^\s/]\S*$")]
