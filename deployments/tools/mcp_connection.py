"""Connect to a tenant's MCP server over streamable HTTP, with the official client.

A connection lives for one listing or call: nothing of a tenant's server stays in the router. The client's own check of
results against the server's output schema is left out, because the server writes both, and a pattern can take for ever.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    Implementation,
    PaginatedRequestParams,
    Tool,
)

from deployments.common.settings import ToolSettings
from deployments.tools.addresses import allowed_host
from deployments.tools.credentials import Credentials
from deployments.tools.pinned_transport import CONNECT_TIMEOUT_S, IO_TIMEOUT_S, PinnedTransport, Resolve
from deployments.tools.result_text import MAX_BLOCKS, text_of_block, tool_result
from deployments.tools.sources import ToolConnection
from routing import VERSION
from routing.errors import ToolError, ToolTimeout
from routing.tools.models import ToolInvocation, ToolResult, UncheckedTool

MAX_PAGES = 4
CLOSE_TIMEOUT_S = 1.0
"""The time for the server to end its session. The answer waits for it, and needs it no more."""
_INFO = Implementation(name="rayroom", version=VERSION)

# The client logs an answer that it cannot parse, and so the words of a tenant's server.
for _name in ("mcp", "client", "httpx2"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)


class McpServers:
    """Connects to MCP servers. One for a process: its TLS context takes a fifth of a second to load."""

    def __init__(self, settings: ToolSettings, credentials: Credentials, resolve: Resolve | None = None) -> None:
        self._settings = settings
        self._credentials = credentials
        self._resolve = resolve
        self._tls: ssl.SSLContext = httpx2.create_ssl_context()

    @asynccontextmanager
    async def __call__(self, tenant_id: str, url: str, credential: str) -> AsyncIterator[ToolConnection]:
        host = allowed_host(url, self._settings)
        headers = await self._credentials.headers(tenant_id, credential)
        transport = PinnedTransport(host, self._settings.answer_bytes, self._tls, self._resolve)
        timeout = httpx2.Timeout(IO_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        http = httpx2.AsyncClient(headers=headers, timeout=timeout, transport=transport, trust_env=False)
        streams = streamable_http_client(url, http_client=http, max_sse_event_size=self._settings.answer_bytes)
        ended, failure = False, None
        try:
            # Only the end has a deadline here: the server may let it wait, and the result is there.
            # Not asyncio's timeout: its cancellation breaks into the closing of sockets, which anyio's scopes shield.
            with anyio.CancelScope() as ending:
                async with http, Client(streams, client_info=_INFO) as client:
                    try:
                        yield _McpConnection(client, transport)
                        ended = True
                    except Exception as error:
                        # Raised below: the client's task group would wrap it.
                        failure = error
                    finally:
                        ending.deadline = anyio.current_time() + CLOSE_TIMEOUT_S
        except Exception as error:
            if failure is None and not ended:
                raise _tool_error(transport, error) from None
        if failure is not None:
            raise failure


class _McpConnection:
    """One connected MCP server."""

    def __init__(self, client: Client, transport: PinnedTransport) -> None:
        self._client = client
        self._transport = transport

    async def offered(self) -> Sequence[UncheckedTool]:
        tools: list[Tool] = []
        cursor: str | None = None
        try:
            for _ in range(MAX_PAGES):
                page = await self._client.session.list_tools(params=PaginatedRequestParams(cursor=cursor))
                tools += page.tools
                cursor = page.next_cursor
                if cursor is None:
                    break
        except Exception as error:
            raise _tool_error(self._transport, error) from None
        return [_offered(tool) for tool in tools]

    async def call(self, call: ToolInvocation, timeout_s: float) -> ToolResult:
        params = CallToolRequestParams(name=call.tool, arguments=dict(call.arguments))
        try:
            async with asyncio.timeout(timeout_s):
                result = await self._client.session.send_request(CallToolRequest(params=params), CallToolResult)
        except Exception as error:
            raise _tool_error(self._transport, error) from None
        texts = [text_of_block(block) for block in result.content[:MAX_BLOCKS]]
        return tool_result(texts, result.structured_content, result.is_error)


def _offered(tool: Tool) -> UncheckedTool:
    hints = tool.annotations
    return UncheckedTool(
        name=tool.name,
        title=tool.title or (hints.title if hints is not None else None) or "",
        description=tool.description or "",
        parameters=tool.input_schema,
        read_only=None if hints is None else hints.read_only_hint,
    )


def _tool_error(transport: PinnedTransport, error: Exception) -> ToolError:
    """Return an error of the client as ours, without its text, which may quote the server."""
    if transport.refusal is not None:
        return transport.refusal
    if isinstance(error, ToolError):
        return error
    if isinstance(error, TimeoutError):
        return ToolTimeout("The tool's server did not answer in time.")
    if isinstance(error, MCPError):
        return ToolError(f"The tool's server returned error {error.code}.")
    return ToolError(f"The tool's server failed: {type(error).__name__}.")
