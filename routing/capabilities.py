"""The rules of a vendor for one model: how it thinks, and which options of a chat it accepts."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, NonNegativeInt, model_validator

from routing.chat import ChatOptions, Effort, ImageType
from routing.errors import UnsupportedOption

FORCED_TOOL = "forced_tool_choice"
"""The option that `tool_choice` needs where it names a tool or requires one."""
IMAGE_DETAIL = "detail"
"""The option of an image by which a request sets the resolution at which it is read."""
JSON_SCHEMA = "json_schema"
JSON_OBJECT = "json_object"


class Thinking(BaseModel):
    """How a model thinks before it answers. A model that never thinks has no such entry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    efforts: tuple[Effort, ...]
    """The accepted levels, lowest first; the first is `none` where thinking can be switched off."""
    default: Effort
    """The level of a request that names none."""
    tokens: dict[Effort, NonNegativeInt]
    """The output tokens to allow for thinking at each level, beyond the visible answer."""
    source: str

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
    prefill: bool = True
    """Whether the last message may be the assistant's."""
    image_types: frozenset[ImageType] = frozenset({"image/jpeg"})
    cache_min_tokens: NonNegativeInt | None = None
    """The smallest prompt prefix that is cached; None where the model does not cache."""
    service_tiers: tuple[str, ...] = ()
    source: str = "the configuration"

    def accepts(self, option: str) -> bool:
        return self.options is None or option in self.options


def effort_of(capabilities: Capabilities, options: ChatOptions) -> Effort | None:
    """Return the effort to request: the caller's, else the lowest; None for a model that does not think."""
    thinking = capabilities.thinking
    if thinking is None:
        return None
    return options.reasoning_effort or thinking.efforts[0]


def thinking_tokens(capabilities: Capabilities, effort: Effort | None) -> int:
    """Return the tokens to allow for thinking at `effort`."""
    if capabilities.thinking is None or effort is None:
        return 0
    return capabilities.thinking.tokens[effort]


def refused_options(capabilities: Capabilities, options: ChatOptions) -> tuple[str, ...]:
    """Return the names of the given options that the model does not accept."""
    return tuple(name for name in options.given if not _accepted(capabilities, options, name))


def accepted_options(model: str, capabilities: Capabilities, options: ChatOptions, drop: bool) -> ChatOptions:
    """Return the options, without the refused ones if `drop`. Otherwise raises UnsupportedOption for a refused one."""
    refused = refused_options(capabilities, options)
    if refused and not drop:
        raise UnsupportedOption(f"{model} does not support {refused[0]}.", refused[0])
    return options.without(refused)


def _accepted(capabilities: Capabilities, options: ChatOptions, name: str) -> bool:
    if name == "reasoning_effort":
        thinking = capabilities.thinking
        # Every model that does not think does so at the effort `none`.
        return options.reasoning_effort in (thinking.efforts if thinking is not None else ("none",))
    if name == "response_format" and options.response_format is not None:
        return options.response_format.type == "text" or capabilities.accepts(options.response_format.type)
    if name == "tool_choice" and options.tool_choice is not None:
        forced = options.tool_choice.mode in ("required", "function")
        return capabilities.accepts("tools") and (not forced or capabilities.accepts(FORCED_TOOL))
    return capabilities.accepts(name)
