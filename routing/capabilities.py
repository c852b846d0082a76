"""The rules of a vendor for one model: how it thinks, which options it accepts, and how it counts an image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    field_validator,
    model_validator,
)

from routing.chat import ChatOptions, Detail, Effort, ImageType, Message
from routing.errors import UnsupportedOption

FORCED_TOOL = "forced_tool_choice"
"""The option that `tool_choice` needs where it names a tool or requires one."""
IMAGE_DETAIL = "detail"
"""The option of an image by which a request sets the resolution at which it is read."""
JSON_SCHEMA = "json_schema"
JSON_OBJECT = "json_object"
_OPTIONS = {FORCED_TOOL, IMAGE_DETAIL, JSON_OBJECT, JSON_SCHEMA} | {field.name for field in fields(ChatOptions)}
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "temperature": (1,),
    "top_p": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "parallel_tool_calls": (True,),
    "service_tier": ("auto", "default"),
    "verbosity": ("medium",),
}
"""OpenAI's defaults: an option with one of these values asks for nothing, so no model needs to accept it."""
_CHAT_ONLY = frozenset(
    {"stop", "seed", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs"}
)
"""Options that OpenAI's Responses API does not have."""


class Thinking(BaseModel):
    """How a model thinks before it answers. A model that never thinks has no such entry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    efforts: tuple[Effort, ...]
    """The accepted levels, lowest first; the first is `none` where thinking can be switched off."""
    default: Effort
    """The level of a request that names none."""
    tokens: dict[Effort, NonNegativeInt]
    """The output tokens to allow for thinking at each level, beyond the visible answer."""
    off: Literal["disabled", "between_tools"] = "disabled"
    """The type of Anthropic's `thinking` that stands for the level `none`."""
    unit: Literal["level", "tokens"] = "level"
    """Whether the vendor takes the name of the level, or its `tokens` as a budget."""
    source: str = "the configuration"

    @model_validator(mode="after")
    def _covers_its_levels(self) -> Thinking:
        if not self.efforts or self.default not in self.efforts or set(self.tokens) != set(self.efforts):
            raise ValueError("efforts must be listed, hold the default, and each have its tokens")
        return self


class Capabilities(BaseModel):
    """The rules of one model, as its vendor documents them. The defaults are those of an own, compatible server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    thinking: Thinking | None = None
    options: frozenset[str] | None = None
    """The accepted fields of ChatOptions, and FORCED_TOOL, JSON_OBJECT, JSON_SCHEMA; None where all are passed on."""
    without_thinking: frozenset[str] = frozenset()
    """Those of `options` that are accepted at the effort `none` only."""
    chat_tools: Literal["always", "without_thinking", "never"] = "always"
    """When OpenAI's chat completions take tools. Its Responses API takes them always, and then the effort `max` too."""
    prefill: bool = True
    """Whether the last message may be the assistant's."""
    image_types: frozenset[ImageType] = frozenset({"image/jpeg"})
    cache_min_tokens: NonNegativeInt | None = None
    """The smallest prompt prefix that is cached; None where the model does not cache."""
    service_tiers: tuple[str, ...] = ()
    """The values of `service_tier` that are accepted beside OpenAI's `auto` and `default`."""
    source: str = "the configuration"

    @field_validator("options", "without_thinking")
    @classmethod
    def _names_options(cls, names: frozenset[str] | None) -> frozenset[str] | None:
        unknown = sorted((names or frozenset()) - _OPTIONS)
        if unknown:
            raise ValueError(f"{unknown[0]} is no option; known are {', '.join(sorted(_OPTIONS))}")
        return names

    def accepts(self, option: str) -> bool:
        return self.options is None or option in self.options


LOW_PX_PER_TOKEN = 500
"""An image of low detail keeps its small text with so few pixels a token: a frame of 1024x576 has 527 at 1,120."""


class FixedTokens(BaseModel):
    """The same number of tokens for every image, or for every image of a detail."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Literal["fixed"] = "fixed"
    tokens: PositiveInt
    low: PositiveInt | None = None
    """The tokens at the detail `low`, where the vendor counts fewer."""

    def count(self, width_px: int, height_px: int, detail: Detail = "auto") -> int:
        """Return the input tokens of an image of this size."""
        return self.low if self.low is not None and self.is_low(width_px, height_px, detail) else self.tokens

    def is_low(self, width_px: int, height_px: int, detail: Detail) -> bool:
        """Return whether an image is to be sent in low detail: as it says so, or as it is small enough to lose none."""
        if self.low is None or detail == "high":
            return False
        return detail == "low" or 0 < width_px * height_px <= LOW_PX_PER_TOKEN * self.low


class PatchTokens(BaseModel):
    """`percent` hundredths of a token for each square patch, once the image is scaled down to `longest_side_px`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Literal["patches"]
    patch_px: PositiveInt
    percent: PositiveInt = 100
    longest_side_px: PositiveInt | None = None
    most_patches: PositiveInt | None = None
    """The patches to which the vendor scales a larger image down."""

    def count(self, width_px: int, height_px: int, detail: Detail = "auto") -> int:
        """Return the input tokens of an image of this size, the most of any detail."""
        longest_px = max(width_px, height_px, 1)
        # The scale is a ratio of two integers: a Fraction would take five times as long.
        scaled_px = min(self.longest_side_px or longest_px, longest_px)
        columns, rows = (-(-side_px * scaled_px // (longest_px * self.patch_px)) for side_px in (width_px, height_px))
        patches = columns * rows
        if self.most_patches is not None:
            patches = min(patches, self.most_patches)
        return -(-patches * self.percent // 100)


class TileTokens(BaseModel):
    """Tokens for the image and for each square tile, once its sides are scaled down to the two limits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Literal["tiles"]
    base: PositiveInt
    tile: PositiveInt
    tile_px: PositiveInt = 512
    longest_side_px: PositiveInt = 2_048
    short_side_px: PositiveInt = 768

    def count(self, width_px: int, height_px: int, detail: Detail = "auto") -> int:
        """Return the input tokens of an image of this size; the detail `low` has no tiles."""
        if detail == "low":
            return self.base
        longest_px, shortest_px = max(width_px, height_px, 1), max(min(width_px, height_px), 1)
        scale = min(Fraction(1), Fraction(self.longest_side_px, longest_px), Fraction(self.short_side_px, shortest_px))
        columns = math.ceil(width_px * scale / self.tile_px)
        return self.base + self.tile * columns * math.ceil(height_px * scale / self.tile_px)


def _fixed(value: Any) -> Any:
    """Return the rule that a plain number stands for."""
    return {"rule": "fixed", "tokens": value} if isinstance(value, int) and not isinstance(value, bool) else value


ImageTokens = Annotated[
    Annotated[FixedTokens | PatchTokens | TileTokens, Field(discriminator="rule")], BeforeValidator(_fixed)
]
"""A rule, or a plain number of tokens for every image."""


def effort_of(capabilities: Capabilities, options: ChatOptions) -> Effort | None:
    """Return the effort to request: the caller's, else the lowest; None for a model that does not think.

    A server that takes all options gets the caller's effort, if there is one.
    """
    thinking = capabilities.thinking
    if thinking is None:
        return options.reasoning_effort if capabilities.options is None else None
    return options.reasoning_effort if _accepts_effort(capabilities, options) else thinking.efforts[0]


def thinking_tokens(capabilities: Capabilities, effort: Effort | None) -> int:
    """Return the tokens to allow for thinking at `effort`."""
    if capabilities.thinking is None or effort is None:
        return 0
    return capabilities.thinking.tokens[effort]


def needs_responses(capabilities: Capabilities, options: ChatOptions, effort: Effort | None) -> bool:
    """Return whether OpenAI takes the request in its Responses API only."""
    if capabilities.chat_tools == "always":
        return False
    with_tools = bool(options.tools) and (capabilities.chat_tools == "never" or effort != "none")
    return with_tools or effort == "max"


def chat_only_options(options: ChatOptions) -> tuple[str, ...]:
    """Return the names of the given options that OpenAI's Responses API does not have, its default values apart."""
    return tuple(name for name in options.given if name in _CHAT_ONLY and not _neutral(options, name))


def refused_options(capabilities: Capabilities, options: ChatOptions) -> tuple[str, ...]:
    """Return the names of the given options that the model does not accept; OpenAI's default values never count."""
    return tuple(name for name in _unaccepted(capabilities, options) if not _neutral(options, name))


def accepted_options(model: str, capabilities: Capabilities, options: ChatOptions, drop: bool) -> ChatOptions:
    """Return the options that the model accepts. Raises UnsupportedOption for a refused one, unless `drop`.

    An option that the model does not accept, but with OpenAI's default value, is left out in either case.
    """
    unaccepted = _unaccepted(capabilities, options)
    if not unaccepted:
        return options
    refused = [name for name in unaccepted if not _neutral(options, name)]
    if refused and not drop:
        raise UnsupportedOption(f"{model} does not support {_shown(capabilities, options, refused[0])}.", refused[0])
    return options.without(unaccepted)


def accepts_messages(capabilities: Capabilities, messages: Sequence[Message]) -> bool:
    """Return whether the model accepts the last message's role. Images are converted to a type that it accepts."""
    return capabilities.prefill or not messages or messages[-1].role != "assistant"


def _unaccepted(capabilities: Capabilities, options: ChatOptions) -> tuple[str, ...]:
    return tuple(name for name in options.given if not _accepted(capabilities, options, name))


def _accepted(capabilities: Capabilities, options: ChatOptions, name: str) -> bool:
    if name == "reasoning_effort":
        return _accepts_effort(capabilities, options)
    if name == "service_tier" and options.service_tier is not None:
        tiers = capabilities.service_tiers
        return capabilities.options is None or (bool(tiers) and options.service_tier in ("auto", "default", *tiers))
    if name == "response_format" and options.response_format is not None:
        return options.response_format.type == "text" or capabilities.accepts(options.response_format.type)
    if name == "tool_choice" and options.tool_choice is not None:
        forced = options.tool_choice.mode in ("required", "function")
        return capabilities.accepts("tools") and (not forced or capabilities.accepts(FORCED_TOOL))
    effort = effort_of(capabilities, options)
    if name in capabilities.without_thinking and effort != "none":
        return False
    return capabilities.accepts(name) and not (name in _CHAT_ONLY and needs_responses(capabilities, options, effort))


def _accepts_effort(capabilities: Capabilities, options: ChatOptions) -> bool:
    effort, thinking = options.reasoning_effort, capabilities.thinking
    if thinking is None:
        # Every model that does not think does so at the effort `none`.
        return effort == "none" or capabilities.options is None
    return effort in thinking.efforts


def _neutral(options: ChatOptions, name: str) -> bool:
    return getattr(options, name) in _NEUTRAL.get(name, ())


def _shown(capabilities: Capabilities, options: ChatOptions, name: str) -> str:
    """Return the option as an error names it: with its value where only that is refused."""
    if name == "reasoning_effort":
        return f"reasoning_effort {options.reasoning_effort!r}"
    if name in _CHAT_ONLY and needs_responses(capabilities, options, effort_of(capabilities, options)):
        return f"{name} together with tools or the reasoning_effort 'max'"
    if name == "service_tier":
        return f"service_tier {options.service_tier!r}"
    if name == "response_format" and options.response_format is not None:
        return f"response_format {options.response_format.type!r}"
    if name == "tool_choice" and options.tool_choice is not None:
        return f"tool_choice {options.tool_choice.mode!r}"
    return name
