"""Schemas of the tools of a room and of the results of their calls, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from deployments.api.openapi.responses import Count, ResponseBody


class ListedTool(ResponseBody):
    name: str
    title: str
    description: str
    parameters: dict[str, Any]
    changes: bool
    """Whether a call needs a person's yes."""
    digest: str
    price_nanousd: Count


class LeftOutToolRow(ResponseBody):
    """A tool or a source of tools that the model does not see."""

    name: str
    problem: str


class RoomTools(ResponseBody):
    """The tools of a room, and those that were left out."""

    tools: list[ListedTool]
    left_out: list[LeftOutToolRow]


class ToolCallAnswer(ResponseBody):
    """The result of a call: untrusted text."""

    text: str
    is_error: bool
    """Whether the tool itself reports that it failed."""
    cost_nanousd: Count
