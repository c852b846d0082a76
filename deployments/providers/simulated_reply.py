"""Decide the reply of a simulated model: words, a JSON value, or calls of the tools that the request offers."""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from deployments.common.schema_instance import ANY_OBJECT, minimal_json
from routing.catalogue import Model
from routing.chat import Message, ResponseFormat, Tool, ToolCall, ToolCallDelta, ToolChoice
from routing.models import Delta, Finish, ModelRequest

ANSWER_TOKENS = (20, 60)
MAX_RESULT_WORDS = 40
"""The words of each tool's result that the answer repeats."""
NAME_WORDS = 2
"""Every answer in words begins with `[simulated MODEL]`."""
_WORDS = (
    "a window with text and a chart beside it the title changed and one line is new near the top of the page".split()
)
_NO_PARAMETERS = {"type": "object"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedReply:
    """A whole reply: its text in the pieces of a stream, its tool calls, and its end."""

    pieces: tuple[str, ...] = field(repr=False)
    tool_calls: tuple[ToolCall, ...] = ()
    finish: Finish

    @property
    def tokens(self) -> int:
        return len(self.pieces) + sum(1 + len(_pieces(call.arguments)) for call in self.tool_calls)

    def deltas(self) -> Iterator[Delta]:
        """Yield the deltas of a stream, a token each."""
        for piece in self.pieces:
            yield Delta(text=piece)
        for index, call in enumerate(self.tool_calls):
            yield Delta(tool_calls=(ToolCallDelta(index=index, call_id=call.call_id, name=call.name),))
            for piece in _pieces(call.arguments):
                yield Delta(tool_calls=(ToolCallDelta(index=index, arguments=piece),))


def simulated_reply(model: Model, request: ModelRequest, seed: int) -> SimulatedReply:
    """Return the reply, the same for the same request and seed.

    A tool is called where the request forces it, or where the last user message names it. Its results are repeated as
    the answer. A requested JSON Schema is answered by its smallest instance.
    """
    digest = _digest(request, seed)
    calls = tuple(_call(tool, digest) for tool in _due_tools(request))
    if calls:
        return SimulatedReply(pieces=(), tool_calls=calls, finish="tool_calls")
    wanted = request.options.response_format
    if wanted is not None and wanted.type != "text":
        return _cut(_pieces(_json(wanted)), request)
    words = [*f"[simulated {model.name}]".split(), *(_results(request) or _words(digest))]
    return _cut(tuple(word + " " for word in words), request)


def _due_tools(request: ModelRequest) -> Iterator[Tool]:
    tools, choice = request.options.tools, request.options.tool_choice or ToolChoice(mode="auto")
    last = request.messages[-1] if request.messages else None
    if not tools or last is None or choice.mode == "none" or last.role == "tool":
        return
    if choice.mode == "function":
        yield from (tool for tool in tools if tool.name == choice.name)
        return
    named = [tool for tool in tools if _names(last, tool)]
    due = named or (tools[:1] if choice.mode == "required" else ())
    yield from due[:1] if request.options.parallel_tool_calls is False else due


def _names(message: Message, tool: Tool) -> bool:
    return message.role == "user" and f" {_plain(tool.name)} " in f" {_plain(message.text)} "


def _plain(text: str) -> str:
    """Return the lower-case words of a text or a tool's name, each separated by one blank."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def _call(tool: Tool, digest: bytes) -> ToolCall:
    number = hashlib.blake2b(digest + tool.name.encode(), digest_size=12).hexdigest()
    return ToolCall(call_id=f"call_{number}", name=tool.name, arguments=minimal_json(tool.parameters or _NO_PARAMETERS))


def _results(request: ModelRequest) -> list[str]:
    """Return the first words of the results with which the request ends; none if it ends with another message."""
    results = itertools.takewhile(lambda message: message.role == "tool", reversed(request.messages))
    return [word for message in reversed(list(results)) for word in message.text.split()[:MAX_RESULT_WORDS]]


def _json(wanted: ResponseFormat) -> str:
    return minimal_json(ANY_OBJECT if wanted.schema is None else wanted.schema)


def _cut(pieces: Sequence[str], request: ModelRequest) -> SimulatedReply:
    """Return the text up to the output limit and the first stop sequence."""
    kept = list(pieces[: request.max_output_tokens])
    text = "".join(kept)
    stops = [at for stop in request.options.stop if stop and (at := text.find(stop)) >= 0]
    if stops:
        return SimulatedReply(pieces=_pieces(text[: min(stops)]), finish="stop")
    return SimulatedReply(pieces=tuple(kept), finish="stop" if len(kept) == len(pieces) else "length")


def _pieces(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\S+\s*|\s+", text))


def _digest(request: ModelRequest, seed: int) -> bytes:
    content = "\n".join(message.text for message in request.messages).encode()
    images = b"".join(image.data for message in request.messages for image in message.images)
    return hashlib.blake2b(content + images, digest_size=8, key=b"%d" % seed).digest()


def _words(digest: bytes) -> list[str]:
    rng = random.Random(digest)
    return rng.choices(_WORDS, k=rng.randint(*ANSWER_TOKENS))
