"""Decide which of the offered tools the emulated model calls, and with which arguments."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cluster.lab.emulator.core.content import RequestMessage
from deployments.common.schema_instance import minimal_json

FOREIGN_TOOL = "emulated_tool_nobody_offered"
"""The tool that the fault `foreign_tool` calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedTool:
    """A function that the request offers; `parameters` is the JSON Schema of its arguments."""

    name: str
    description: str = field(default="", repr=False)
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def text(self) -> str:
        """Return the definition as text, of which the vendor counts the tokens."""
        return f"{self.name} {self.description} {json.dumps(self.parameters)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedTools:
    """The offered tools, and whether the model may or must call one of them.

    `names` are the only tools that may be called, and empty for all of them. A forced tool is the mode `required` with
    its name.
    """

    tools: tuple[OfferedTool, ...] = ()
    mode: Literal["auto", "none", "required"] = "auto"
    names: tuple[str, ...] = ()
    parallel: bool = True

    @property
    def callable_tools(self) -> tuple[OfferedTool, ...]:
        return tuple(tool for tool in self.tools if not self.names or tool.name in self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatedToolCall:
    """A call of a tool by the emulated model.

    `number` is 24 hexadecimal digits that differ for each call of each conversation: the vendor's id is made of them.
    """

    number: str
    name: str
    arguments: str = field(repr=False)

    @property
    def pieces(self) -> tuple[str, ...]:
        """Return the arguments as the tokens that a stream sends."""
        return tuple(re.findall(r"\S+\s*|\s+", self.arguments))

    @property
    def tokens(self) -> int:
        return 1 + len(self.pieces)

    def arguments_json(self) -> Any:
        """Return the parsed arguments, or an empty object if they are not JSON."""
        try:
            return json.loads(self.arguments)
        except ValueError:
            return {}


def tool_calls(
    offered: OfferedTools, messages: Sequence[RequestMessage], digest: bytes, *, foreign: bool = False
) -> tuple[EmulatedToolCall, ...]:
    """Return the calls of the emulated model, the same for the same request.

    A forced tool is called. Of tools that are merely offered, those are called that the last message names, in the
    order of the offer; a message with a result of a tool is answered in words. With `foreign`, the model calls a tool
    that nobody offered.
    """
    if foreign:
        return (_call(OfferedTool(name=FOREIGN_TOOL), digest, 0),)
    due = list(_due(offered, messages))
    return tuple(_call(tool, digest, index) for index, tool in enumerate(due if offered.parallel else due[:1]))


def _due(offered: OfferedTools, messages: Sequence[RequestMessage]) -> Iterator[OfferedTool]:
    candidates = offered.callable_tools
    if not candidates or offered.mode == "none" or not messages or messages[-1].results:
        return
    text = _words(messages[-1].text) if messages[-1].role == "user" else ""
    named = [tool for tool in candidates if f" {_words(tool.name)} " in f" {text} "]
    yield from named or (candidates[:1] if offered.mode == "required" else ())


def _words(text: str) -> str:
    """Return the lower-case words of a text or a tool's name, each separated by one blank."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def _call(tool: OfferedTool, digest: bytes, index: int) -> EmulatedToolCall:
    number = hashlib.blake2b(digest + tool.name.encode() + b"%d" % index, digest_size=12).hexdigest()
    return EmulatedToolCall(
        number=number, name=tool.name, arguments=minimal_json(tool.parameters or {"type": "object"})
    )
