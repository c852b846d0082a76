"""The nouns of a room's tools that the router and the agent share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_ARGUMENT_BYTES = 8_192
"""The most bytes of a call's arguments as JSON."""
MAX_TITLE_CHARS = 60
MAX_DESCRIPTION_CHARS = 1_000
MAX_RESULT_CHARS = 12_000
"""The most characters of a result that the router returns; the agent's prompt takes fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UncheckedTool:
    """A tool as its source offers it: nothing of it is checked."""

    name: str
    title: str = ""
    description: str = field(default="", repr=False)
    parameters: Mapping[str, Any] = field(repr=False)
    read_only: bool | None = None
    """Whether the source claims that it changes nothing; None if it makes no claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomTool:
    """A tool of a room, checked. `name` is the one for the model: the source's name, `_`, and the tool's own."""

    name: str
    remote_name: str
    title: str
    description: str = field(repr=False)
    parameters: Mapping[str, Any] = field(repr=False)
    changes: bool
    """Whether a call needs a person's yes."""
    digest: str
    """Changes with all that a model or a person sees of the tool."""
    price_nanousd: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolInvocation:
    """A call of a tool by its own name, for the person in the room who asked for it."""

    tenant_id: str
    room: str
    participant: str
    """The identity of the person; empty for nobody."""
    tool: str
    arguments: Mapping[str, Any] = field(repr=False)
    call_id: str
    """Generated at the router, and different for each call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """The result of a call: untrusted text, which the source's connection cuts to its limit."""

    text: str = field(repr=False)
    is_error: bool = False
    """Whether the tool itself reports that it failed."""
