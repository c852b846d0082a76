"""OpenAI's chat parameters that are not passed on to vendors, and the values accepted because they change nothing."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


class Neutral:
    """Marks a parameter that is not passed on: it may be absent, null, or one of `values`, which change no answer.

    Clients send these values by default. Any other value is an error, because it would be dropped silently.
    """

    def __init__(self, *values: Any) -> None:
        self._values = values

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        return {"enum": [None, *self._values]}

    def _check(self, value: Any) -> Any:
        if value is None or any(value == neutral and _is_bool(value) is _is_bool(neutral) for neutral in self._values):
            return value
        raise PydanticCustomError("not_passed_on", "is not passed on to the models: leave it out")


def _is_bool(value: Any) -> bool:
    # To Python, and not to JSON, true equals 1.
    return isinstance(value, bool)


class NotPassedOn(BaseModel):
    """The parameters of the openai package 3.54; a newer one is rejected like any unknown name."""

    # Sampling.
    n: Annotated[Any, Neutral(1)] = None
    top_p: Annotated[Any, Neutral(1)] = None
    frequency_penalty: Annotated[Any, Neutral(0)] = None
    presence_penalty: Annotated[Any, Neutral(0)] = None
    logit_bias: Annotated[Any, Neutral({})] = None
    seed: Annotated[Any, Neutral()] = None
    stop: Annotated[Any, Neutral([])] = None
    # Output format.
    response_format: Annotated[Any, Neutral({"type": "text"})] = None
    modalities: Annotated[Any, Neutral(["text"])] = None
    audio: Annotated[Any, Neutral()] = None
    logprobs: Annotated[Any, Neutral(False)] = None
    top_logprobs: Annotated[Any, Neutral(0)] = None
    verbosity: Annotated[Any, Neutral("medium")] = None
    # Tools, which rayroom does not support.
    tools: Annotated[Any, Neutral([])] = None
    tool_choice: Annotated[Any, Neutral("none", "auto")] = None
    parallel_tool_calls: Annotated[Any, Neutral(True, False)] = None
    functions: Annotated[Any, Neutral([])] = None
    function_call: Annotated[Any, Neutral("none", "auto")] = None
    web_search_options: Annotated[Any, Neutral()] = None
    # The vendor's processing.
    reasoning_effort: Annotated[Any, Neutral()] = None
    prediction: Annotated[Any, Neutral()] = None
    moderation: Annotated[Any, Neutral()] = None
    service_tier: Annotated[Any, Neutral("auto", "default")] = None
    prompt_cache_retention: Annotated[Any, Neutral()] = None
    prompt_cache_options: Annotated[Any, Neutral()] = None
