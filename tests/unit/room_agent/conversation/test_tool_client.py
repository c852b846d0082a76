"""The knowledge base is a tool like the others where the tenant wants that, and its passages name their sources."""

from __future__ import annotations

from typing import Any, cast

import pytest

from room_agent.conversation.tool_client import NO_QUERY, SEARCH, ToolClient
from room_agent.core.router_client import RouterClient
from routing.models import Passage

PASSAGES = tuple(
    Passage(passage_id=text, source=source, text=text, score=0.5)
    for source, text in (("handbook.pdf", "Leave is 30 days."), ("handbook.pdf", "Ask first."), ("faq.md", "No."))
)


class SearchedRouter:
    """A router that finds the passages and records what it was asked for."""

    def __init__(self) -> None:
        self.queries: list[tuple[str, str]] = []

    async def search(self, query: str, top_k: int, timeout_s: float, asker: str) -> tuple[Passage, ...]:
        self.queries.append((query, asker))
        return PASSAGES

    async def of_room(self, *_: Any) -> dict[str, Any]:
        return {"tools": [{"name": "shop_x", "title": "X", "description": "", "parameters": {}, "digest": "1"}]}


@pytest.mark.parametrize(
    ("has_tools", "searches", "names"),
    [(True, True, ["knowledge", "shop_x"]), (True, False, ["shop_x"]), (False, True, ["knowledge"])],
)
async def test_the_tools_of_a_room_are_the_tenants_and_the_search(
    has_tools: bool, searches: bool, names: list[str]
) -> None:
    client = ToolClient(cast(RouterClient, SearchedRouter()), has_tools=has_tools, searches=searches)
    assert [tool.name for tool in await client.list()] == names


async def test_a_search_returns_passages_with_their_sources() -> None:
    router = SearchedRouter()
    client = ToolClient(cast(RouterClient, router), searches=True)
    found = await client.call(SEARCH, {"query": "How many\ndays?"}, "ann", confirmed=False)
    assert found.text.startswith("handbook.pdf:\nLeave is 30 days.") and found.sources == ("handbook.pdf", "faq.md")
    assert router.queries == [("How many days?", "ann")]


@pytest.mark.parametrize("arguments", [{}, {"query": 7}, {"query": "  "}])
async def test_a_search_for_nothing_is_an_error_and_no_request(arguments: dict[str, Any]) -> None:
    router = SearchedRouter()
    found = await ToolClient(cast(RouterClient, router), searches=True).call(SEARCH, arguments, "ann", confirmed=False)
    assert found.is_error and found.text == NO_QUERY and router.queries == []
