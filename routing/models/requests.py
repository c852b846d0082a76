"""A request to a model and its answer, as they cross between the router and a model replica."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from routing.chat import ChatOptions, Effort, Message, ToolCall, ToolCallDelta
from routing.models.costs import Usage


class Tier(StrEnum):
    """The class of model that answers."""

    SIMPLE = "simple"
    COMPLEX = "complex"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFeatures:
    """The measurements of a frame that the agent computed, each in 0..1."""

    text_density: float = 0.0
    edge_energy: float = 0.0
    changed_share: float = 0.0
    novelty: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One attempt at one model. `model` is the catalogue's name; `timeout_s` covers the whole attempt.

    The other two timers are of a stream: until its first text, and from each piece to the next.
    """

    model: str
    messages: tuple[Message, ...] = field(default=(), repr=False)
    max_output_tokens: int = 300
    """The most tokens of visible text."""
    effort: Effort | None = None
    """How much the model shall think; None leaves it to the vendor, for models that do not think."""
    thinking_tokens: int = 0
    """The tokens that thinking may take beyond `max_output_tokens`."""
    options: ChatOptions = field(default_factory=ChatOptions)
    timeout_s: float = 30.0
    first_token_timeout_s: float | None = None
    between_tokens_timeout_s: float | None = None
    event_id: str = ""
    """The attempt's event in the cost journal; empty for a request that nobody bills, such as a warm-up."""
    tenant_id: str = ""
    """The tenant that pays, whose shard of the journal has the event."""
    traceparent: str = ""
    """The span of the attempt in W3C's form; empty outside a trace."""
    request_id: str = ""
    """The request that the attempt belongs to, for the replica's log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRequest:
    """One attempt at an embedding model: each input is text, an image, both, or token ids."""

    model: str
    inputs: tuple[Message, ...] = field(repr=False)
    dimensions: int | None = None
    """The size of the vectors; None for the model's own."""
    timeout_s: float = 10.0
    event_id: str = ""
    tenant_id: str = ""
    traceparent: str = ""
    request_id: str = ""
    """All four as in ModelRequest."""


Finish = Literal["stop", "length", "refusal", "tool_calls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete answer. `usage` is None if the vendor reported none, which differs from zero."""

    text: str = field(repr=False)
    model: str
    finish: Finish
    usage: Usage | None
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: Mapping[str, Any] | None = field(default=None, repr=False)
    """Log probabilities in OpenAI's form, where they were requested."""
    service_tier: str | None = None
    """The tier that the vendor served and bills, by its own name; None if it names none."""
    simulated: bool = False
    vendor_s: float = 0.0
    """Seconds spent waiting for the vendor; 0 if not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A piece of a streamed answer; the last one carries `finish`, and `usage` if the vendor reported it."""

    text: str = field(default="", repr=False)
    model: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    logprobs: Mapping[str, Any] | None = field(default=None, repr=False)
    finish: Finish | None = None
    usage: Usage | None = None
    usage_so_far: Usage | None = None
    """The usage that the vendor has reported before the answer's end: a floor of the bill if the answer is cut.

    Its output tokens count every piece up to this one; none means that the vendor has counted only the input.
    """
    thinking_bytes: int = 0
    """The length of the thinking text that the vendor sent before this piece; the text itself stays at the adapter."""
    service_tier: str | None = None
    vendor_s: float = 0.0
    """On the first delta: seconds spent waiting for the vendor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingResult:
    """One vector for each input, in order."""

    vectors: tuple[tuple[float, ...], ...] = field(repr=False)
    model: str
    usage: Usage | None
    simulated: bool = False
