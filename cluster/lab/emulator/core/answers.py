"""Generate the answer of the emulated model: its thinking, then words, JSON or tool calls. Deterministic."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Literal

from cluster.lab.emulator.core.content import RequestContent
from cluster.lab.emulator.core.faults import Extras, Fault
from cluster.lab.emulator.core.model_rules import image_tokens
from cluster.lab.emulator.core.request import ParsedRequest
from cluster.lab.emulator.core.tools import EmulatedToolCall, tool_calls
from deployments.common.schema_instance import minimal_json

_OPENING = "This is the emulator speaking:".split()
_WORDS = "it saw a window with text and a chart beside it where one line is new near the top of the page".split()

BROKEN_ARGUMENTS = '{"emulated": tru'
"""The arguments of a call under the fault `broken_arguments`."""

End = Literal["stop", "length", "refused", "filtered", "tool_calls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """The billed token counts. `input_tokens` and `output_tokens` include all the others."""

    input_tokens: int = 0
    output_tokens: int = 0
    image_tokens: int = 0
    image_px: int = 0
    extras: Extras = field(default_factory=Extras)

    def with_output(self, tokens: int) -> TokenCounts:
        """Return the counts of a stream that has produced `tokens` output tokens so far."""
        return replace(self, output_tokens=tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedAnswer:
    """A whole answer. Its words are its visible tokens; thinking is in `token_counts.extras`."""

    words: tuple[str, ...] = field(repr=False)
    end: End | None
    token_counts: TokenCounts
    tool_calls: tuple[EmulatedToolCall, ...] = ()
    stop_sequence: str | None = None
    """The stop sequence that ended the answer."""
    service_tier: str | None = None
    """The tier that the vendor says it served; None where the request named none."""
    unreported_usage: bool = False
    usage_first: bool = False
    """Whether a stream has its usage in the first chunk and none in the last."""

    @property
    def text(self) -> str:
        return " ".join(self.words)

    @property
    def visible_tokens(self) -> int:
        return self.token_counts.output_tokens - self.token_counts.extras.thinking_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerStyle:
    """The settings of generated answers: length, seed, extra token counts, and the words of a refusal."""

    answer_tokens: int
    seed: int
    extras: Extras
    refusal_words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visible:
    """The visible part of an answer."""

    end: End
    words: tuple[str, ...] = ()
    calls: tuple[EmulatedToolCall, ...] = ()
    stop_sequence: str | None = None

    @property
    def tokens(self) -> int:
        return len(self.words) + sum(call.tokens for call in self.calls)


def compose(
    parsed: ParsedRequest,
    fault: Fault,
    style: AnswerStyle,
    given_words: tuple[str, ...] | None = None,
    cached: Extras | None = None,
) -> GeneratedAnswer:
    """Generate the answer to a request, with token counts.

    The words are `given_words` if an engine produced them, otherwise random ones. `cached` counts the tokens of the
    request that the prompt cache holds; those of a fault or of the settings come on top of the request.
    """
    picture_tokens = image_tokens(parsed.vendor, parsed.model, parsed.content)
    # A limit of 0 words marks an embedding request, which has neither cached nor thinking tokens.
    extras = Extras() if parsed.max_tokens == 0 else fault.extras or style.extras
    thought, room = _thinking(parsed, extras)
    visible = _visible(parsed, room, fault, style, given_words)
    counts = TokenCounts(
        input_tokens=parsed.content.text_tokens + picture_tokens + extras.cache_tokens,
        output_tokens=visible.tokens * parsed.choices + thought,
        image_tokens=picture_tokens,
        image_px=parsed.content.image_px,
        extras=replace(extras.with_cache(cached or Extras()), thinking_tokens=thought),
    )
    # A non-streamed answer cannot be cut short, so it lacks its finish marker instead.
    cut = fault.cut_after_chunks is not None
    return GeneratedAnswer(
        words=visible.words,
        end=None if cut else visible.end,
        token_counts=counts,
        tool_calls=visible.calls,
        stop_sequence=visible.stop_sequence,
        service_tier=fault.served_tier or parsed.service_tier,
        unreported_usage=fault.unreported_usage,
        usage_first=fault.usage_first,
    )


def _thinking(parsed: ParsedRequest, extras: Extras) -> tuple[int, int | None]:
    """Return the tokens of thinking, and the tokens that the output limit leaves for visible text."""
    wanted = extras.thinking_tokens or parsed.thinking_tokens
    if parsed.max_tokens is None:
        return wanted, None
    thought = min(wanted, parsed.max_tokens)
    return thought, parsed.max_tokens - thought


def _visible(
    parsed: ParsedRequest, room: int | None, fault: Fault, style: AnswerStyle, given_words: tuple[str, ...] | None
) -> _Visible:
    if fault.refusal == "refused":
        return _Visible(end="refused", words=style.refusal_words)
    if fault.refusal == "filtered" or fault.empty:
        return _Visible(end="filtered" if fault.refusal else "stop")
    calls = _calls(parsed, fault)
    if calls:
        return _with_calls(calls, room)
    words, sequence = _stopped(_words(parsed, fault, style, given_words), parsed.stop)
    if room is not None and room < len(words):
        return _Visible(end="length", words=words[:room])
    return _Visible(end="stop", words=words, stop_sequence=sequence)


def _calls(parsed: ParsedRequest, fault: Fault) -> tuple[EmulatedToolCall, ...]:
    offered = replace(parsed.tools, mode="required") if fault.broken_arguments else parsed.tools
    calls = tool_calls(offered, parsed.turns, parsed.content.digest, foreign=fault.foreign_tool)
    return tuple(replace(call, arguments=BROKEN_ARGUMENTS) for call in calls) if fault.broken_arguments else calls


def _with_calls(calls: tuple[EmulatedToolCall, ...], room: int | None) -> _Visible:
    """Return the calls, the last of which ends in the middle of its arguments where the output limit is reached."""
    if room is None or sum(call.tokens for call in calls) <= room:
        return _Visible(end="tool_calls", calls=calls)
    kept = []
    for call in calls:
        if room < 1:
            break
        kept.append(replace(call, arguments="".join(call.pieces[: room - 1])))
        room -= call.tokens
    return _Visible(end="length", calls=tuple(kept))


def _words(
    parsed: ParsedRequest, fault: Fault, style: AnswerStyle, given_words: tuple[str, ...] | None
) -> tuple[str, ...]:
    if parsed.response_schema is not None:
        return tuple(minimal_json(parsed.response_schema).split(" "))
    if given_words is not None and fault.answer_tokens is None:
        return given_words
    return random_words(parsed.content, style.seed, fault.answer_tokens or style.answer_tokens)


def random_words(content: RequestContent, seed: int, count: int) -> tuple[str, ...]:
    """Return `count` words, the same for the same content and seed."""
    rng = random.Random(content.digest + b"%d" % seed)
    return tuple([*_OPENING, *rng.choices(_WORDS, k=max(0, count - len(_OPENING)))][:count])


def _stopped(words: tuple[str, ...], sequences: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    """Return the words before the first stop sequence, and that sequence."""
    text = " ".join(words)
    found = [(at, sequence) for sequence in sequences if (at := text.find(sequence)) >= 0]
    if not found:
        return words, None
    at, sequence = min(found)
    return tuple(text[:at].rstrip(" ").split(" ")) if at else (), sequence
