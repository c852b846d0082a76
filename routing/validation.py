"""Types that bound the settings of a deployer, and the errors of a validation as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from routing.errors import ConfigurationError

STRICT = ConfigDict(extra="forbid")
"""The pydantic configuration of a settings dataclass: an unknown key in a file is an error."""

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


def _whole(value: Any) -> Any:
    """Return a float without a fraction as an int, as JSON knows no difference; a truth value stays one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""Beside a strict int: 17.0 is a whole number, and neither "17" nor true is."""
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^\s/]\S*$")]

Row = TypeVar("Row", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One wrong field: its steps from the whole value, and pydantic's message and type of error.

    The value is left out of the text, because it may be a prompt, a picture or a key.
    """

    loc: tuple[int | str, ...]
    message: str
    kind: str
    value: object = field(repr=False)
    context: Mapping[str, Any] = field(repr=False)
    """The details of this kind of error, as pydantic and our own validators name them."""

    @property
    def where(self) -> str:
        """Return the dotted path of the field, empty for the whole value."""
        return ".".join(map(str, self.loc))


def errors_of(error: ValidationError) -> Iterator[FieldError]:
    """Yield every wrong field, in pydantic's order."""
    for one in error.errors(include_url=False):
        yield FieldError(
            loc=one["loc"], message=one["msg"], kind=one["type"], value=one["input"], context=one.get("ctx", {})
        )


def first_error(error: ValidationError) -> tuple[str, str]:
    """Return the dotted path of the first wrong field, empty for the whole value, and pydantic's message about it."""
    first = next(errors_of(error))
    return first.where, first.message


def parse_row(kind: type[Row], raw: Mapping[str, object], place: str) -> Row:
    """Return a row of a table as its type; raises ConfigurationError with the row's place and its first wrong field."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        where, problem = first_error(error)
        raise ConfigurationError(f"{place}: {where}: {problem}", where) from None
