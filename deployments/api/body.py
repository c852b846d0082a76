"""Parse request bodies: a wrong one is an error that names its first wrong field, and never repeats a value."""

from __future__ import annotations

import asyncio
import math
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    Tag,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from deployments.api.field_rules import INLINE_IMAGE, JSON_OBJECT
from deployments.api.json_text import count_of, parse_json
from routing.errors import BadInput, UnknownParameter, UnsupportedOption
from routing.validation import errors_of

MAX_TEXT_CHARS = 400_000
MAX_IMAGE_CHARS = 4_000_000
MAX_NAME_CHARS = 64
INLINE_BYTES = 65_536
"""A larger body of many values is parsed in a thread, so that other requests go on between the steps."""
INLINE_COMMAS = 2_000
MOST_INLINE_BYTES = 1_048_576
"""Up to so many bytes a body with few values, such as an image, is parsed at once: in 0.1 ms, as a thread costs."""
DROP_PARAMS = "drop_params"
"""The parameter with which a caller allows that its other parameters are dropped where they are not supported."""

B = TypeVar("B", bound=BaseModel)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
Label = Annotated[str, Field(max_length=1_024)]
ImageText = Annotated[str, Field(max_length=MAX_IMAGE_CHARS, json_schema_extra=INLINE_IMAGE)]
ObjectText = Annotated[Text, Field(json_schema_extra=JSON_OBJECT)]
Words = Annotated[Text, Tag("(text)")]
Finite = Annotated[float, AfterValidator(_finite)]

MAX_PARTICIPANT_CHARS = 256
"""LiveKit's own limit of an identity."""


def participant_of(*labels: str | None) -> str:
    """Return the person that a request's labels name, for the bill; empty where they name nobody."""
    return next((label for label in labels if label), "")[:MAX_PARTICIPANT_CHARS]


class Body(BaseModel):
    """A request body: an unknown key is an error that names it, and is never dropped silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    keys: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.keys = frozenset(field.alias or name for name, field in cls.model_fields.items())

    @model_validator(mode="before")
    @classmethod
    def _has_known_keys(cls, value: Any, info: ValidationInfo) -> Any:
        # Pydantic's own check would build an error for each unknown key, to show the first: 4.6 s for 350,000.
        if isinstance(value, dict) and not value.keys() <= cls.keys:
            for key in value:
                if key not in cls.keys and not cls.allows(key, value[key], info):
                    raise PydanticCustomError("unknown_key", "is not a parameter of this request", {"key": key})
        return value

    @classmethod
    def allows(cls, key: str, value: Any, info: ValidationInfo) -> bool:
        """Return whether an unknown key is ignored."""
        return False


class LenientBody(Body):
    """A part of an OpenAI request. Clients send more keys than are documented: null ones and `harmless` ones pass."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    harmless: ClassVar[frozenset[str]] = frozenset()
    """The keys that clients are known to send, and that change no answer."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        described = handler(schema)
        fields = handler.resolve_ref_schema(described)
        fields["properties"] |= {name: {} for name in sorted(cls.harmless - cls.keys)}
        fields["additionalProperties"] = {"type": "null"}
        return described

    @classmethod
    def allows(cls, key: str, value: Any, info: ValidationInfo) -> bool:
        return value is None or key in cls.harmless or drops(info)


def drops(info: ValidationInfo) -> bool:
    """Return whether the caller allows that parameters are dropped."""
    return bool(info.context and info.context.get(DROP_PARAMS))


async def read_body(kind: type[B], body: bytes) -> B:
    """Return a JSON body as `kind`, parsed in a thread if it is large; raises as `parse_body` does."""
    return parse_body(kind, body) if parses_at_once(body) else await asyncio.to_thread(parse_body, kind, body)


def parses_at_once(body: bytes) -> bool:
    """Return whether a body takes so little time to parse that a thread would take more."""
    if len(body) <= INLINE_BYTES:
        return True
    return len(body) <= MOST_INLINE_BYTES and count_of(body, ",") <= INLINE_COMMAS


def parse_body(kind: type[B], body: bytes) -> B:
    """Return a JSON body as `kind`; raises BadInput with the name of the field."""
    value = parse_json(body)
    drop = isinstance(value, dict) and value.get(DROP_PARAMS) is True
    try:
        return kind.model_validate(value, context={DROP_PARAMS: drop})
    except ValidationError as error:
        raise bad_input(error) from None


def bad_input(error: ValidationError, rename: Any = str) -> BadInput:
    """Return a BadInput for the first wrong field; its value is never included, because it may be content."""
    first = next(errors_of(error))
    steps = [step for step in map(str, first.loc) if not step.startswith("(")]
    if first.kind == "unknown_key":
        steps.append(first.context["key"])
    param = rename(".".join(step[:MAX_NAME_CHARS] for step in steps)) if steps else "body"
    return _KINDS.get(first.kind, BadInput)(f"{param}: {first.message}.", param)


_KINDS: dict[str, type[BadInput]] = {"unknown_key": UnknownParameter, "not_passed_on": UnsupportedOption}


def one_of(kinds: str) -> Discriminator:
    """Return the discriminator of a union of a text, a list and an object; `kinds` names the accepted ones."""
    return Discriminator(_shape, custom_error_type="shape", custom_error_message=f"Input should be {kinds}")


def _shape(value: Any) -> str | None:
    """Return a union's tag for a value; no field name has brackets, so that an error's path can drop the tag."""
    tags: dict[type, str] = {str: "(text)", list: "(list)", dict: "(object)"}
    return tags.get(type(value))
