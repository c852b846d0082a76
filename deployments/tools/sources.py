"""The interface to a source of tools, and the backend's procedures as one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from deployments.tools.result_text import tool_result
from routing.errors import BackendError, BackendUnavailable, ToolError, ToolTimeout
from routing.models import Directory
from routing.tools.models import ToolInvocation, ToolResult, UncheckedTool


class ToolConnection(Protocol):
    """A source of tools, connected. Every method raises ToolError."""

    async def offered(self) -> Sequence[UncheckedTool]: ...

    async def call(self, call: ToolInvocation, timeout_s: float) -> ToolResult:
        """Return the result within `timeout_s`; raises ToolTimeout."""


class ConnectTools(Protocol):
    """Connects to the MCP servers of tenants."""

    def __call__(self, tenant_id: str, url: str, credential: str) -> AbstractAsyncContextManager[ToolConnection]:
        """Return a connection, to be entered under the caller's deadline; entering it raises ToolError."""


class BackendTools:
    """The tools of the backend's own procedures, for one tenant."""

    def __init__(self, directory: Directory, tenant_id: str) -> None:
        self._directory = directory
        self._tenant_id = tenant_id

    async def offered(self) -> Sequence[UncheckedTool]:
        try:
            return await self._directory.tools(self._tenant_id)
        except BackendError as error:
            raise ToolError(f"tools.list of the backend failed: {error.code}.") from None

    async def call(self, call: ToolInvocation, timeout_s: float) -> ToolResult:
        try:
            async with asyncio.timeout(timeout_s):
                result = await self._directory.call_tool(call)
        except (TimeoutError, BackendUnavailable):
            raise ToolTimeout("tools.invoke of the backend did not answer in time.") from None
        except BackendError as error:
            raise ToolError(f"tools.invoke of the backend failed: {error.code}.") from None
        return tool_result([result.text], is_error=result.is_error)
