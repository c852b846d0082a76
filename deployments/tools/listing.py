"""Check the tools that a source offers, name them for the model, and leave out those that break a limit."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployments.api.json_schema import NamedSchema, check_schemas, count_containers
from routing.errors import BadInput
from routing.tools.models import MAX_DESCRIPTION_CHARS, MAX_TITLE_CHARS, RoomTool, UncheckedTool
from routing.tools.record import MAX_TOOLS, ToolSource

MAX_OFFERED = 200
"""The tools of one source that are looked at."""
MAX_SCHEMA_BYTES = 8_000
MAX_SCHEMA_CONTAINERS = 200
"""The most objects and lists in a tool's parameters: they are checked on the event loop."""
MAX_ROOM_BYTES = 32_000
"""The most bytes of all tools of a room: about 8,000 tokens, which each question pays for."""
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""OpenAI's rule for the name of a function."""
_SAFE = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOutTool:
    """A tool that the model does not see, and the reason. Its name is escaped and cut."""

    name: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTools:
    """The tools of a source or of a room, and those that were left out."""

    tools: tuple[RoomTool, ...] = ()
    left_out: tuple[LeftOutTool, ...] = ()


def list_source(name: str, source: ToolSource, offered: Sequence[UncheckedTool]) -> ListedTools:
    """Return the tools of one source under their full names.

    Two tools of one name are both left out: a call could reach the wrong one.
    """
    times = Counter(tool.name for tool in offered)
    tools: list[RoomTool] = []
    left_out: list[LeftOutTool] = []
    for tool in offered[:MAX_OFFERED]:
        try:
            if times[tool.name] > 1:
                raise BadInput("its name occurs more than once")
            tools.append(_checked(name, source, tool))
        except BadInput as error:
            left_out.append(LeftOutTool(name=f"{name}_{escaped(tool.name)}", problem=error.message))
    if len(offered) > MAX_OFFERED:
        left_out.append(LeftOutTool(name=name, problem=f"more than {MAX_OFFERED} tools: the others are not read"))
    return ListedTools(tools=tuple(tools), left_out=tuple(left_out))


def list_room(sources: Iterable[ListedTools]) -> ListedTools:
    """Return the tools of all sources within the limits of a room, in the order of the sources."""
    tools: list[RoomTool] = []
    left_out: list[LeftOutTool] = []
    room_bytes = 0
    for source in sources:
        left_out += source.left_out
        for tool in source.tools:
            size = _bytes_of(tool)
            if len(tools) < MAX_TOOLS and room_bytes + size <= MAX_ROOM_BYTES:
                tools.append(tool)
                room_bytes += size
            else:
                problem = f"a tenant has at most {MAX_TOOLS} tools of {MAX_ROOM_BYTES} bytes together"
                left_out.append(LeftOutTool(name=tool.name, problem=problem))
    return ListedTools(tools=tuple(tools), left_out=tuple(left_out))


def escaped(name: str) -> str:
    """Return the name of a tool as a log line may hold it."""
    return _SAFE.sub("?", name[:64])


def _checked(source_name: str, source: ToolSource, tool: UncheckedTool) -> RoomTool:
    """Return one tool; raises BadInput with the reason where it cannot be offered to a model."""
    name = f"{source_name}_{tool.name}"
    if not tool.name or not _NAME.fullmatch(name):
        raise BadInput("its full name must be 1 to 64 letters, digits, hyphens and underscores")
    title = _encodable(tool.title or tool.name)[:MAX_TITLE_CHARS]
    description = _encodable(tool.description)[:MAX_DESCRIPTION_CHARS]
    changes = source.changes(tool.name, tool.read_only)
    return RoomTool(
        name=name,
        remote_name=tool.name,
        title=title,
        description=description,
        parameters=_parameters(tool.parameters),
        changes=changes,
        digest=_digest(name, title, description, tool.parameters, changes),
        price_nanousd=source.price_of(tool.name),
    )


def _parameters(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if schema.get("type") != "object":
        raise BadInput("its parameters must be the JSON Schema of an object")
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        # An infinite number, a lone surrogate, or too deep: no JSON of the answer to the agent could hold it.
        raise BadInput("its parameters cannot be written as JSON") from None
    if len(text) > MAX_SCHEMA_BYTES:
        raise BadInput(f"its parameters are longer than {MAX_SCHEMA_BYTES} bytes")
    named = NamedSchema(path="parameters", schema=schema)
    if count_containers([named]) > MAX_SCHEMA_CONTAINERS:
        raise BadInput(f"its parameters hold more than {MAX_SCHEMA_CONTAINERS} objects and lists")
    check_schemas([named])
    return schema


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _digest(*parts: Any) -> str:
    return hashlib.blake2b(_json(parts), digest_size=16).hexdigest()


def _bytes_of(tool: RoomTool) -> int:
    return len(_json((tool.name, tool.description, tool.parameters)))


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
