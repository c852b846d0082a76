"""Convert the content of a tool's result to one bounded text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from routing.tools.models import MAX_RESULT_CHARS, ToolResult

MAX_BLOCKS = 100
CUT = "… (cut)"


def tool_result(texts: Iterable[str], structured: Any = None, is_error: bool = False) -> ToolResult:
    """Return the texts as one, each on a line of its own; without a text, the structured value as JSON."""
    text = "\n".join(one for one in texts if one.strip())
    if not text and structured is not None:
        text = json.dumps(structured, ensure_ascii=False)
    # JSON may hold lone surrogates, which no encoder takes.
    text = text.encode("utf-8", "replace").decode()
    if len(text) > MAX_RESULT_CHARS:
        text = text[: MAX_RESULT_CHARS - len(CUT)] + CUT
    return ToolResult(text=text, is_error=is_error)


def text_of_block(block: Any) -> str:
    """Return the text of one content block of MCP; a note in place of a picture, a sound or a file."""
    if block.type == "text":
        return str(block.text)
    if block.type == "resource":
        return str(getattr(block.resource, "text", "[a file, left out]"))
    if block.type == "resource_link":
        return f"[a file: {block.name}]"
    return f"[{block.type}, left out]"
