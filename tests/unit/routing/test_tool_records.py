"""A tenant's record of its tools, and the parts of it that are left out."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from routing.rooms import read_tenant_tools
from routing.tools.record import TenantTools, ToolServer, ToolSource, ToolTerms

SHOP = {"name": "shop", "url": "https://tools.example.com/mcp"}


def problems(value: Any) -> list[str]:
    return [field.name for field in read_tenant_tools(value)[1]]


def test_a_record_without_tools_has_none() -> None:
    assert read_tenant_tools(None) == (TenantTools(), ()) and not any(TenantTools().sources())


def test_servers_and_the_backend_are_sources_by_their_names() -> None:
    terms = {"order_status": {"changes": False, "priceNanousd": 5}}
    value = {"servers": [SHOP | {"credential": "shop-key", "tools": terms}], "backend": {"priceNanousd": 7}}
    tools, refused = read_tenant_tools(value)
    assert refused == () and [name for name, _ in tools.sources()] == ["backend", "shop"]
    shop, backend = tools.servers[0], tools.backend
    assert backend is not None and (shop.credential, shop.price_of("order_status")) == ("shop-key", 5)
    assert (shop.price_of("other"), backend.price_of("any")) == (0, 7) and tools.source("none") is None


@pytest.mark.parametrize(
    ("own", "read_only", "changes"),
    [
        (None, None, True),
        (None, False, True),
        (None, True, False),
        (True, True, True),
        (False, None, False),
        (False, False, False),
    ],
)
def test_a_tool_changes_something_unless_the_record_or_its_source_denies_it(
    own: bool | None, read_only: bool | None, changes: bool
) -> None:
    source = ToolSource(tools={"book": ToolTerms(changes=own)})
    assert source.changes("book", read_only) is changes


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ([], ["tools"]),
        ({"servers": {}}, ["tools.servers"]),
        ({"others": 1}, ["tools.others"]),
        ({"servers": [SHOP, SHOP | {"url": "https://b.example/"}]}, ["tools.servers.1"]),
        ({"servers": [SHOP | {"name": "backend"}]}, ["tools.servers.0"]),
        ({"servers": [SHOP | {"name": "a_b"}]}, ["tools.servers.0.name"]),
        ({"servers": [SHOP | {"url": "file:///etc/passwd"}]}, ["tools.servers.0.url"]),
        ({"servers": [SHOP | {"url": "https://key@tools.example.com/"}]}, ["tools.servers.0.url"]),
        ({"servers": [SHOP | {"token": "secret-1"}]}, ["tools.servers.0.token"]),
        ({"servers": [SHOP | {"credential": "../other/key"}]}, ["tools.servers.0.credential"]),
        ({"servers": [SHOP | {"tools": {"a": {"priceNanousd": -1}}}]}, ["tools.servers.0.tools"]),
        ({"servers": [SHOP | {"tools": {"a": {"priceNanousd": 0.5}}}]}, ["tools.servers.0.tools"]),
        ({"backend": True}, ["tools.backend"]),
    ],
)
def test_a_wrong_part_is_left_out_and_named(value: Any, wrong: list[str]) -> None:
    assert problems(value) == wrong


def test_the_other_servers_of_a_wrong_one_stay() -> None:
    tools, refused = read_tenant_tools({"servers": ["no", SHOP]})
    assert [server.name for server in tools.servers] == ["shop"] and len(refused) == 1


def test_no_secret_of_a_record_is_repeated() -> None:
    _, refused = read_tenant_tools({"servers": [SHOP | {"token": "secret-1", "url": "secret-2"}]})
    assert "secret" not in str(refused)


def test_the_tools_of_a_local_tenant_have_the_same_rules() -> None:
    server = ToolServer(name="shop", url="https://tools.example.com/mcp")
    for servers in ((server, server), (server.model_copy(update={"name": "backend"}),)):
        with pytest.raises(ValidationError, match="must be unique"):
            TenantTools(servers=servers)


def test_there_are_four_servers_at_most() -> None:
    tools, refused = read_tenant_tools({"servers": [SHOP | {"name": f"shop{n}"} for n in range(7)]})
    assert len(tools.servers) == 4 and len(refused) == 3
