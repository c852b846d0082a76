"""Convert the answers of the backend's procedures `tools.list` and `tools.invoke`."""

from __future__ import annotations

import json
from typing import Any

from cluster.backend.serialization import sendable
from routing.errors import BackendRefused
from routing.tools.models import ToolInvocation, ToolResult, UncheckedTool

LIST_TOOLS, CALL_TOOL = "tools.list", "tools.invoke"
MAX_TOOL_TIMEOUT_S = 60.0


def call_input(call: ToolInvocation) -> dict[str, Any]:
    """Return the input of tools.invoke."""
    return {
        "tenantId": call.tenant_id,
        "room": call.room,
        "participant": call.participant,
        "tool": call.tool,
        "arguments": dict(call.arguments),
        "callId": call.call_id,
    }


def offered_tools(data: Any) -> tuple[UncheckedTool, ...]:
    """Return the tools of an answer; raises BackendRefused for one that is no list of tools."""
    if not isinstance(data, list) or not all(_is_tool(row) for row in data):
        raise BackendRefused("tools.list: the answer is not a list of tools with a name and an inputSchema.")
    return tuple(
        UncheckedTool(
            name=sendable(row["name"]),
            title=sendable(row.get("title") or ""),
            description=sendable(row.get("description") or ""),
            parameters=row["inputSchema"],
            read_only=row.get("readOnly") if isinstance(row.get("readOnly"), bool) else None,
        )
        for row in data
    )


def called_tool(data: Any) -> ToolResult:
    """Return the result in an answer: its `text`, or any other value as JSON. It is not cut yet."""
    is_error = isinstance(data, dict) and data.get("isError") is True
    text = data["text"] if isinstance(data, dict) and isinstance(data.get("text"), str) else json.dumps(data)
    return ToolResult(text=sendable(text), is_error=is_error)


def _is_tool(row: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get("name"), str) and isinstance(row.get("inputSchema"), dict)
