"""The backend's own procedures as a source of tools."""

from __future__ import annotations

from typing import Any, cast

from deployments.tools.result_text import CUT
from deployments.tools.sources import BackendTools
from routing.models import Directory
from routing.tools.models import MAX_RESULT_CHARS, ToolInvocation, ToolResult


class LongWindedBackend:
    """A backend whose tool answers with a long text."""

    async def call_tool(self, _: ToolInvocation) -> ToolResult:
        return ToolResult(text="x" * 20_000, is_error=True)


async def test_a_long_result_of_the_backend_is_cut_and_says_so_as_one_of_a_server_does() -> None:
    tools = BackendTools(cast(Directory, cast(Any, LongWindedBackend())), "acme")
    call = ToolInvocation(tenant_id="acme", room="r", participant="ann", tool="t", arguments={}, call_id="c")
    result = await tools.call(call, 1.0)
    assert result.text.endswith(CUT) and len(result.text) == MAX_RESULT_CHARS and result.is_error
