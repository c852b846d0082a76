"""Check knowledge retrieval over a real socket: deadlines, prefetching, failures and the fields sent."""

from __future__ import annotations

import asyncio
import tomllib
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from room_agent.context.retrieval import LONGEST_KEPT_S, KnowledgeRetrieval
from room_agent.core.router_client import MAX_PASSAGE_CHARS, HeartbeatResult, RouterClient, TenantBudget
from room_agent.core.router_errors import RouterAway, RouterBusy, RouterError, RouterRefused, TokenExpired
from room_agent.core.router_transport import HttpTransport
from tests.support.manual_clock import ManualClock
from tests.support.scripted_router import ScriptedRouter

ROOM = "tenant_acme_standup"
AGENT_KEY = "agent-key-that-opens-rooms"
INJECTIONS = Path(__file__).parents[2] / "unit" / "room_agent" / "injections.toml"


def passage(number: int, **changes: Any) -> dict[str, Any]:
    return {"id": f"p{number}", "source": f"handbook.pdf#{number}", "text": "Leave is 30 days.", "score": 0.5} | changes


async def wait_for_searches() -> None:
    """Wait until every running search has ended."""
    await asyncio.wait([task for task in asyncio.all_tasks() if task.get_name() == "knowledge"], timeout=5)


@pytest.fixture
async def router() -> AsyncIterator[ScriptedRouter]:
    async with ScriptedRouter(passages=[passage(1), passage(2)]).running() as router:
        yield router


@pytest.fixture
async def client(router: ScriptedRouter) -> AsyncIterator[RouterClient]:
    transport = HttpTransport(router.url)
    client = RouterClient(transport, AGENT_KEY, ROOM, "job-1", '{"tenant_id": "acme"}')
    await client.open()
    yield client
    await transport.aclose()


@pytest.fixture
async def knowledge(client: RouterClient) -> AsyncIterator[KnowledgeRetrieval]:
    knowledge = KnowledgeRetrieval(client, asyncio.get_running_loop().time)
    yield knowledge
    await knowledge.aclose()


async def test_a_question_is_searched_with_the_rooms_token(router: ScriptedRouter, client: RouterClient) -> None:
    passages = await client.search("how much leave", 5, 1.0)
    assert [(passage.passage_id, passage.source) for passage in passages] == [
        ("p1", "handbook.pdf#1"),
        ("p2", "handbook.pdf#2"),
    ]
    (request,) = router.search_requests
    assert request == {"query": "how much leave", "top_k": 5}
    assert router.search_tokens == ["Bearer token-1"]


async def test_passages_beyond_the_requested_number_and_length_are_cut(
    router: ScriptedRouter, client: RouterClient
) -> None:
    router.passages = [passage(number, text="x" * 50_000, new_field=1) for number in range(30)]
    passages = await client.search("how much leave", 5, 1.0)
    assert [len(passage.text) for passage in passages] == [MAX_PASSAGE_CHARS] * 5


@pytest.mark.parametrize(
    "fields", [{"score": "high"}, {"score": float("nan")}, {"text": None}, {"source": 7}, {"id": ["p1"]}]
)
async def test_an_invalid_response_is_refused(router: ScriptedRouter, client: RouterClient, fields: Any) -> None:
    router.passages = [passage(1, **fields)]
    with pytest.raises(RouterRefused):
        await client.search("how much leave", 5, 1.0)


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, TokenExpired), (402, RouterBusy), (403, RouterRefused), (422, RouterRefused), (503, RouterBusy)],
)
async def test_a_refused_search_maps_to_an_error_by_its_status(
    router: ScriptedRouter, client: RouterClient, status: int, error: type[RouterError]
) -> None:
    router.search_statuses.append(status)
    with pytest.raises(error):
        await client.search("how much leave", 5, 1.0)


async def test_a_search_keeps_its_deadline(router: ScriptedRouter, client: RouterClient) -> None:
    router.search_delay_s = 5.0
    with pytest.raises(RouterAway):
        await client.search("how much leave", 5, 0.05)


async def test_searches_with_and_without_passages_are_counted(
    router: ScriptedRouter, knowledge: KnowledgeRetrieval
) -> None:
    assert len(await knowledge.begin("how much leave").passages(deadline_s=5.0)) == 2
    router.passages = []
    assert await knowledge.begin("how much leave").passages(deadline_s=5.0) == ()
    assert (knowledge.counts.found, knowledge.counts.empty) == (1, 1)


async def test_a_late_search_returns_nothing_at_its_deadline(
    router: ScriptedRouter, knowledge: KnowledgeRetrieval
) -> None:
    clock = asyncio.get_running_loop().time
    router.search_delay_s = 5.0
    search = knowledge.begin("how much leave")
    started_s = clock()
    assert await search.passages() == ()
    assert 0.25 <= clock() - started_s < 4.0
    assert knowledge.counts.late == 1 and knowledge.counts.report()["knowledge_late"] == 1


async def test_the_deadline_starts_at_the_end_of_the_question(router: ScriptedRouter, client: RouterClient) -> None:
    clock = ManualClock(100.0)
    knowledge = KnowledgeRetrieval(client, clock)
    router.search_delay_s = 60.0
    search = knowledge.begin("how much leave")
    clock.now_s += 30.0
    # No time is left.
    async with asyncio.timeout(10.0):
        assert await search.passages(deadline_s=30.0) == ()
    await knowledge.aclose()


@pytest.mark.parametrize("status", [0, 401, 402, 429, 500, 503])
async def test_a_failed_search_returns_no_passages_and_is_counted(
    router: ScriptedRouter, knowledge: KnowledgeRetrieval, status: int
) -> None:
    router.search_statuses.append(status)
    assert await knowledge.begin("how much leave").passages(deadline_s=5.0) == ()
    assert knowledge.counts.failed == 1
    assert len(await knowledge.begin("how much leave").passages(deadline_s=5.0)) == 2


async def test_an_unreachable_router_gives_no_passages() -> None:
    transport = HttpTransport("http://127.0.0.1:9")
    client = RouterClient(transport, AGENT_KEY, ROOM, "job-1", "{}")
    knowledge = KnowledgeRetrieval(client, asyncio.get_running_loop().time)
    assert await knowledge.begin("how much leave").passages(deadline_s=5.0) == ()
    assert knowledge.counts.failed == 1
    await transport.aclose()


async def test_a_search_for_a_partial_question_is_used_for_the_whole_question(
    router: ScriptedRouter, knowledge: KnowledgeRetrieval
) -> None:
    prefetched = knowledge.begin("How many days")
    search = knowledge.finish("how many days of leave do I get?")
    assert search is not prefetched and len(router.search_requests) <= 1
    assert len(await search.passages(deadline_s=5.0)) == 2
    prefetched = knowledge.begin("How many days of leave do")
    assert knowledge.finish("how many days of leave do I get?") is prefetched
    assert len(await prefetched.passages(deadline_s=5.0)) == 2


async def test_a_query_prefetched_twice_is_searched_once_and_cancelled_by_another_wording(
    router: ScriptedRouter, knowledge: KnowledgeRetrieval
) -> None:
    for text in ("how much", "how much leave", "How much leave do I get?"):
        knowledge.prefetch(text)
    assert len(await knowledge.finish("how much leave do I get").passages(deadline_s=5.0)) == 2
    assert [search["query"] for search in router.search_requests][-1] == "how much leave"
    assert len(router.search_requests) <= 2 and knowledge.counts.cancelled <= 1 and knowledge.counts.found == 1


async def test_a_stale_prefetch_is_searched_again(router: ScriptedRouter, client: RouterClient) -> None:
    now_s = 100.0
    knowledge = KnowledgeRetrieval(client, lambda: now_s)
    prefetched = knowledge.begin("how much leave")
    now_s += LONGEST_KEPT_S
    assert prefetched.is_usable
    now_s += 0.1
    assert knowledge.finish("how much leave") is not prefetched
    await knowledge.aclose()


@pytest.mark.parametrize("status", [0, 429, 503])
async def test_a_failed_prefetch_is_searched_again_within_the_deadline(
    router: ScriptedRouter, knowledge: KnowledgeRetrieval, status: int
) -> None:
    router.search_statuses.append(status)
    prefetched = knowledge.begin("how much leave")
    await wait_for_searches()
    search = knowledge.finish("How much leave?")
    assert search is not prefetched and len(await search.passages()) == 2
    assert (knowledge.counts.found, knowledge.counts.failed, knowledge.counts.cancelled) == (1, 0, 0)


async def test_a_successful_prefetch_is_not_searched_again(
    router: ScriptedRouter, knowledge: KnowledgeRetrieval
) -> None:
    prefetched = knowledge.begin("how much leave")
    await wait_for_searches()
    assert knowledge.finish("how much leave") is prefetched and len(await prefetched.passages()) == 2
    assert len(router.search_requests) == 1


async def test_a_search_is_used_for_one_question_only(router: ScriptedRouter, knowledge: KnowledgeRetrieval) -> None:
    first = knowledge.begin("how much leave")
    await first.passages(deadline_s=5.0)
    assert knowledge.finish("how much leave") is not first


async def test_a_question_without_words_is_not_searched(router: ScriptedRouter, knowledge: KnowledgeRetrieval) -> None:
    assert await knowledge.begin("\x00 \u200b").passages(deadline_s=5.0) == ()
    assert router.search_requests == []


async def test_a_question_before_or_after_a_long_paste_is_searched(
    router: ScriptedRouter, knowledge: KnowledgeRetrieval
) -> None:
    for question in ("What is our notice period?", "\u0928\u094b\u091f\u093f\u0938 \u0958\u092c?"):
        for paste in ("The supplier shall deliver within thirty days. " * 60, "\u0958\u0932\u092e " * 700):
            for text in (f"{question} {paste}", f"{paste} {question}"):
                await knowledge.finish(text).passages(deadline_s=5.0)
                query = router.search_requests[-1]["query"]
                assert unicodedata.normalize("NFC", question) in query and len(query) <= 4_000


async def test_an_interruption_cancels_the_search(router: ScriptedRouter, knowledge: KnowledgeRetrieval) -> None:
    router.search_delay_s = 5.0
    searching = asyncio.create_task(knowledge.begin("how much leave").passages(deadline_s=5.0))
    await asyncio.sleep(0.05)
    searching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await searching
    search = knowledge.begin("and in my first year")
    search.cancel()
    assert await search.passages(deadline_s=5.0) == () and knowledge.counts.cancelled == 2


async def test_the_next_question_cancels_the_previous_search(
    router: ScriptedRouter, knowledge: KnowledgeRetrieval
) -> None:
    router.search_delay_s = 0.3
    first, second = knowledge.begin("how much leave"), knowledge.begin("how much notice")
    assert len(await second.passages(deadline_s=5.0)) == 2
    assert await first.passages(deadline_s=5.0) == () and knowledge.counts.cancelled == 1


async def test_an_injection_stays_in_the_query_field_and_carries_no_key(
    router: ScriptedRouter, knowledge: KnowledgeRetrieval
) -> None:
    injections = tomllib.loads(INJECTIONS.read_text("utf-8"))["attempt"]
    for injection in injections:
        await knowledge.begin(injection["text"]).passages(deadline_s=5.0)
    assert len(router.search_requests) == len(injections) >= 30
    for request in router.search_requests:
        assert set(request) == {"query", "top_k"} and request["top_k"] == 5
        assert isinstance(request["query"], str) and len(request["query"].splitlines()) == 1
        assert AGENT_KEY not in str(request) and "token-1" not in str(request)
    assert set(router.search_tokens) == {"Bearer token-1"}


async def test_usage_is_sent_with_a_heartbeat_and_its_acceptance_is_returned(
    router: ScriptedRouter, client: RouterClient
) -> None:
    event = {"id": "e1", "service": "stt", "model": "nova-3", "audio_ms": 1_200, "occurred_at": 1.5}
    router.budget = {"spent_nanousd": 90, "limit_nanousd": 90}
    result = await client.beat({"frames_seen": 1}, [event])
    assert router.usage == [event] and result.taken == ("e1",)
    assert result.budget is not None and result.budget.is_spent
    assert client.token == "token-1"


async def test_a_heartbeat_without_usage_is_accepted(router: ScriptedRouter, client: RouterClient) -> None:
    assert await client.beat({"frames_seen": 1}) == HeartbeatResult(taken=(), budget=None)
    assert router.usage == []


@pytest.mark.parametrize(("spent", "limit", "is_spent"), [(89, 90, False), (91, 90, True), (10**15, None, False)])
def test_a_budget_is_spent_at_its_limit(spent: int, limit: int | None, is_spent: bool) -> None:
    assert TenantBudget(spent_nanousd=spent, limit_nanousd=limit).is_spent is is_spent
