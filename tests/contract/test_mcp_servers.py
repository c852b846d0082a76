"""Tools of real and of hostile MCP servers, called through the router's service over real sockets."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from deployments.common.settings import ToolSettings
from deployments.tools.credentials import Credentials
from deployments.tools.mcp_connection import McpServers
from routing.errors import ToolAddressRefused, ToolError, ToolTimeout
from routing.tools.models import ToolInvocation, ToolResult, UncheckedTool
from tests.support.tool_servers import HostileServer, OrderServer, tool_row

# asyncio leaves the socket of a connection whose opening is cancelled to the garbage collector, and so to a later test.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()


LOOPBACK = ToolSettings(internal_hosts=("127.0.0.1",), answer_bytes=65_536)


def invocation(tool: str, **arguments: Any) -> ToolInvocation:
    return ToolInvocation(
        tenant_id="acme", room="tenant_acme_shop", participant="ann", tool=tool, arguments=arguments, call_id="c"
    )


def servers(tmp_path: Path, settings: ToolSettings = LOOPBACK) -> McpServers:
    return McpServers(settings, Credentials(tmp_path))


async def listed(connect: McpServers, url: str, credential: str = "") -> Sequence[UncheckedTool]:
    async with connect("acme", url, credential) as connection:
        return await connection.offered()


async def called(connect: McpServers, url: str, call: ToolInvocation, timeout_s: float = 5.0) -> ToolResult:
    async with connect("acme", url, "") as connection:
        return await connection.call(call, timeout_s)


async def test_a_server_of_the_official_package_is_listed_and_called(tmp_path: Path) -> None:
    connect = servers(tmp_path)
    async with OrderServer().running() as shop:
        tools = {tool.name: tool for tool in await listed(connect, shop.url)}
        assert tools["order_status"].read_only is True and tools["cancel_order"].read_only is None
        assert tools["order_status"].title == "Order status"
        assert tools["order_status"].parameters["properties"]["order"]["type"] == "integer"
        result = await called(connect, shop.url, invocation("order_status", order=5))
        assert result == ToolResult(text="Order 5 is in harbour forty two.")
        assert shop.calls == [("order_status", 5)] and shop.authorizations == []


async def test_a_tool_that_fails_returns_its_error_as_a_result(tmp_path: Path) -> None:
    async with OrderServer().running() as shop:
        result = await called(servers(tmp_path), shop.url, invocation("break_down"))
    assert result.is_error


async def test_the_credential_of_the_record_is_read_from_its_file_at_each_use(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    file = tmp_path / "acme" / "shop"
    connect = servers(tmp_path)
    async with OrderServer().running() as shop:
        for token in ("first-token", "second-token"):
            file.write_text(f"{token}\n")
            file.chmod(0o600)
            await listed(connect, shop.url, "shop")
            assert set(shop.authorizations) == {f"Bearer {token}"}
            shop.authorizations.clear()
        with pytest.raises(ToolError, match="cannot be read"):
            await listed(connect, shop.url, "another")
        file.chmod(0o644)
        with pytest.raises(ToolError, match="every user of this machine"):
            await listed(connect, shop.url, "shop")


async def test_an_answer_over_the_limit_is_given_up_while_it_is_read(tmp_path: Path) -> None:
    sent = 0

    async def flood(request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"content-type": "application/json"})
        await response.prepare(request)
        for _ in range(1_000):
            await response.write(b"x" * 10_000)
            sent += 10_000
        return response

    async with HostileServer(call=flood).running() as hostile:
        with pytest.raises(ToolError, match="more than 65536 bytes"):
            await called(servers(tmp_path), hostile.url, invocation("look"))
    # Sockets buffer some of it.
    assert sent < 9_000_000
    async with OrderServer().running() as shop:
        with pytest.raises(ToolError):
            await called(servers(tmp_path), shop.url, invocation("flood"))


async def test_an_answer_of_very_many_values_is_not_parsed(tmp_path: Path) -> None:
    async def lists(request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        return web.Response(body=b"[" + b"[]," * 20_000 + b"[]]", headers={"content-type": "application/json"})

    async with HostileServer(call=lists).running() as hostile:
        with pytest.raises(ToolError, match="too many objects"):
            await called(servers(tmp_path), hostile.url, invocation("look"))


async def test_a_server_that_never_answers_costs_its_deadline_only(tmp_path: Path) -> None:
    async def hang(request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(60.0)
        return web.Response()

    started_s = time.monotonic()
    async with HostileServer(call=hang).running() as hostile, OrderServer().running() as shop:
        for url, tool in ((hostile.url, "look"), (shop.url, "sleep")):
            with pytest.raises(ToolTimeout):
                await called(servers(tmp_path), url, invocation(tool), timeout_s=0.3)
        hostile.every = hang
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await listed(servers(tmp_path), hostile.url)
    assert time.monotonic() - started_s < 20.0


@pytest.mark.parametrize("target", ["http://169.254.169.254/latest/meta-data/", "/elsewhere", "http://localhost/"])
async def test_a_redirect_is_never_followed(tmp_path: Path, target: str) -> None:
    async def redirect(request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=307, headers={"location": target})

    async with HostileServer(every=redirect).running() as hostile:
        with pytest.raises(ToolAddressRefused, match="redirect"):
            await listed(servers(tmp_path), hostile.url)
        assert hostile.paths == {"127.0.0.1/mcp"}


async def test_a_compressed_answer_is_not_expanded(tmp_path: Path) -> None:
    async def compress(request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        return web.Response(body=b"x", headers={"content-encoding": "gzip", "content-type": "application/json"})

    async with HostileServer(every=compress).running() as hostile:
        with pytest.raises(ToolError, match="compressed"):
            await listed(servers(tmp_path), hostile.url)


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'{"jsonrpc": "2.0"}', b"[" * 5_000, b"\xff"])
async def test_what_is_not_the_protocol_is_an_error_of_the_tool(tmp_path: Path, body: bytes) -> None:
    async def broken(request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        return web.Response(body=body, headers={"content-type": "application/json"})

    async with HostileServer(call=broken).running() as hostile:
        with pytest.raises(ToolError):
            await called(servers(tmp_path), hostile.url, invocation("look"), timeout_s=1.0)


async def test_an_output_schema_of_the_server_is_not_run(tmp_path: Path) -> None:
    """A pattern of the server, matched against a text of the server, could hold the event loop for ever."""
    schema = {"type": "object", "properties": {"text": {"type": "string", "pattern": "^(a+)+$"}}}

    async def structured(request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        result = {"content": [], "structuredContent": {"text": "a" * 40 + "!"}}
        return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": result})

    async with HostileServer([tool_row("look", outputSchema=schema)], structured).running() as hostile:
        connect = servers(tmp_path)
        async with asyncio.timeout(10.0), connect("acme", hostile.url, "") as connection:
            await connection.offered()
            result = await connection.call(invocation("look"), 5.0)
    assert result.text == '{"text": "' + "a" * 40 + '!"}'


async def test_a_name_that_resolves_to_a_private_address_is_not_connected_to(tmp_path: Path) -> None:
    async def resolve(name: str, port: int) -> Sequence[str]:
        return ["93.184.216.34", "127.0.0.1"]

    async with HostileServer().running() as hostile:
        port = hostile.url.split(":")[2].split("/")[0]
        settings = ToolSettings(hosts=("tools.example.com",))
        connect = McpServers(settings, Credentials(tmp_path), resolve)
        with pytest.raises(ToolAddressRefused, match="must not be reached"):
            await listed(connect, f"https://tools.example.com:{port}/mcp")
        assert hostile.methods == []
