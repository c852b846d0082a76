"""OpenAI's chat parameters that are not passed on to vendors, and the values accepted because they change nothing."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from deployments.api.body import LenientBody, drops


class Neutral:
    """Marks a parameter that is not passed on: it may be absent, null, or one of `values`, which change no answer.

    Clients send these values by default. Any other value is an error, because it would be dropped silently, unless
    the caller allows that it is dropped and it is `droppable`.
    """

    def __init__(self, *values: Any, instead: str = "leave it out", droppable: bool = True) -> None:
        self._values = values
        self._instead = instead
        self._droppable = droppable

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        return {"anyOf": [{"type": "null"}, *map(_schema_of, self._values)]}

    def _check(self, value: Any, info: ValidationInfo) -> Any:
        if value is None or any(value == neutral and _is_bool(value) is _is_bool(neutral) for neutral in self._values):
            return value
        if self._droppable and drops(info):
            return None
        raise PydanticCustomError(
            "not_passed_on", "is not passed on to the models: {instead}", {"instead": self._instead}
        )


def _schema_of(value: Any) -> dict[str, Any]:
    """Return the JSON Schema of one value; client generators know no constant list or object."""
    if isinstance(value, list):
        return {"type": "array", "items": {"enum": value} if value else {}, "maxItems": len(value)}
    return {"type": "object", "maxProperties": 0} if isinstance(value, dict) else {"const": value}


def _is_bool(value: Any) -> bool:
    # To Python, and not to JSON, true equals 1.
    return isinstance(value, bool)


class NotPassedOn(LenientBody):
    """Parameters of the openai package 3.54 and of compatible servers that no vendor here receives."""

    n: Annotated[Any, Neutral(1, instead="each request has one answer")] = None
    modalities: Annotated[Any, Neutral(["text"])] = None
    audio: Annotated[Any, Neutral()] = None
    functions: Annotated[Any, Neutral([], instead="use tools, which replace it")] = None
    function_call: Annotated[Any, Neutral("none", "auto", instead="use tool_choice, which replaces it")] = None
    web_search_options: Annotated[Any, Neutral()] = None
    # The vendor's processing.
    prediction: Annotated[Any, Neutral()] = None
    moderation: Annotated[Any, Neutral()] = None
    prompt_cache_retention: Annotated[Any, Neutral()] = None
    prompt_cache_options: Annotated[Any, Neutral()] = None
    # Sampling by servers such as vLLM; their neutral values switch it off.
    top_k: Annotated[Any, Neutral(-1, 0)] = None
    min_p: Annotated[Any, Neutral(0)] = None
    repetition_penalty: Annotated[Any, Neutral(1)] = None
    chat_template_kwargs: Annotated[Any, Neutral({})] = None
