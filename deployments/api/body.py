"""Parse request bodies: a wrong one is an error that names its first wrong field, and never repeats a value."""

from __future__ import annotations

import math
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from routing.errors import BadInput

MAX_TEXT_CHARS = 400_000
MAX_IMAGE_CHARS = 4_000_000
MAX_NAME_CHARS = 64

B = TypeVar("B", bound=BaseModel)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
Words = Annotated[Text, Tag("(text)")]
Finite = Annotated[float, AfterValidator(_finite)]


class Body(BaseModel):
    """A request body: an unknown key is an error that names it, and is never dropped silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def parse_body(kind: type[B], body: bytes) -> B:
    """Return a JSON body as `kind`; raises BadInput with the name of the field."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise bad_input(error) from None


def bad_input(error: ValidationError, rename: Any = str) -> BadInput:
    """Return a BadInput for the first wrong field; its value is never included, because it may be content."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    steps = [str(step)[:MAX_NAME_CHARS] for step in first["loc"] if not str(step).startswith("(")]
    param = rename(".".join(steps)) if steps else "body"
    return BadInput(f"{param}: {first['msg']}.", param)


def one_of(kinds: str) -> Discriminator:
    """Return the discriminator of a union of a text, a list and an object; `kinds` names the accepted ones."""
    return Discriminator(_shape, custom_error_type="shape", custom_error_message=f"Input should be {kinds}")


def _shape(value: Any) -> str | None:
    """Return a union's tag for a value; no field name has brackets, so that an error's path can drop the tag."""
    tags: dict[type, str] = {str: "(text)", list: "(list)", dict: "(object)"}
    return tags.get(type(value))
