"""Lists and calls a room's tools at the router, and cleans the texts that their servers write about them.

A search of the knowledge base is a tool like the others, where the tenant wants that.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ConfigDict, Field

from room_agent.context.retrieval import LONGEST_S, TOP_K, search_query
from room_agent.core.router_client import RouterClient, RouterReply, parse
from room_agent.text.quoting import Fence, one_line
from routing.tools.models import MAX_TITLE_CHARS

LIST_TIMEOUT_S = 15.0
"""Longer than the router takes with its default settings."""
CALL_TIMEOUT_S = 8.0
"""The time that an answer waits for a call, with the router's connection to the server."""
MAX_TOOLS = 32


class ListedRoomTool(RouterReply):
    """A tool that the model may call."""

    name: str
    title: str
    description: str = Field(repr=False)
    parameters: dict[str, Any] = Field(repr=False)
    changes: bool = True
    """Whether a call needs a person's yes."""
    digest: str

    def schema_for_model(self) -> dict[str, Any]:
        """Return the tool as a chat completion has it."""
        return {"name": self.name, "description": self.description, "parameters": self.parameters}


class _RoomTools(RouterReply):
    tools: tuple[ListedRoomTool, ...] = ()


class ToolAnswer(RouterReply):
    """The result of a call: untrusted text, with the sources that it is from."""

    model_config = ConfigDict(hide_input_in_errors=True)

    text: str = Field(repr=False)
    is_error: bool = False
    cost_nanousd: int = 0
    sources: tuple[str, ...] = ()


QUERY = "query"
# Without "_", which the names of a tenant's tools have.
SEARCH = ListedRoomTool(
    name="knowledge",
    title="knowledge base",
    description="Search the company's knowledge base for passages. Ask for what a question needs, in its own words.",
    parameters={"type": "object", "properties": {QUERY: {"type": "string"}}, "required": [QUERY]},
    changes=False,
    digest="",
)
NO_QUERY = f"The argument `{QUERY}` must be a text."


class ToolClient:
    """The tools of one room. Every method raises RouterError."""

    def __init__(self, router: RouterClient, *, has_tools: bool = True, searches: bool = False) -> None:
        """`has_tools` is whether the tenant names any, `searches` whether the knowledge base is one."""
        self._router = router
        self._has_tools = has_tools
        self._built_in = (SEARCH,) if searches else ()

    async def list(self) -> tuple[ListedRoomTool, ...]:
        """Return the room's tools, cleaned."""
        if not self._has_tools:
            return self._built_in
        listed = parse(_RoomTools, await self._router.of_room("GET", "/tools", LIST_TIMEOUT_S))
        cleaned = (cleaned_tool(tool) for tool in listed.tools[:MAX_TOOLS])
        return (*self._built_in, *(tool for tool in cleaned if tool is not None))

    async def call(
        self, tool: ListedRoomTool, arguments: Mapping[str, Any], participant: str, confirmed: bool
    ) -> ToolAnswer:
        """Return the result of a call for a participant, who has confirmed it or need not."""
        if tool in self._built_in:
            return await self._search(arguments.get(QUERY), participant)
        body = {
            "tool": tool.name,
            "digest": tool.digest,
            "arguments": dict(arguments),
            "user": participant,
            "confirmed": confirmed,
        }
        return parse(ToolAnswer, await self._router.of_room("POST", "/tools/calls", CALL_TIMEOUT_S, body))

    async def _search(self, query: Any, participant: str) -> ToolAnswer:
        if not isinstance(query, str) or not query.strip():
            return ToolAnswer(text=NO_QUERY, is_error=True)
        passages = await self._router.search(search_query(query), TOP_K, LONGEST_S, participant)
        text = "\n\n".join(f"{passage.source}:\n{passage.text}" for passage in passages)
        return ToolAnswer(text=text, sources=tuple(dict.fromkeys(passage.source for passage in passages)))


def cleaned_tool(tool: ListedRoomTool) -> ListedRoomTool | None:
    """Return a tool without invisible characters, quotation marks of ours and control tokens of chat templates.

    None for one with such in the name of a parameter, which cannot be cleaned.
    """
    clean = Fence(secrets.token_hex(8)).inner
    try:
        parameters = {name: _cleaned(value, clean) for name, value in tool.parameters.items()}
    except (ValueError, RecursionError):
        return None
    return tool.model_copy(
        update={
            "title": one_line(clean(tool.title), MAX_TITLE_CHARS) or tool.name,
            "description": clean(tool.description),
            "parameters": parameters,
        }
    )


def _cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    """Return a part of a schema with clean texts; raises ValueError for a name that is not clean."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(one, clean) for one in value]
    if not isinstance(value, dict):
        return value
    if any(clean(name) != name for name in value):
        raise ValueError
    return {name: _cleaned(one, clean) for name, one in value.items()}
