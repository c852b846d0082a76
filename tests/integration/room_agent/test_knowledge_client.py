"""Check knowledge retrieval over a real socket: deadlines, prefetching, failures and the fields sent."""

from __future__ import annotations

import asyncio
import base64
import tomllib
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from room_agent.context.retrieval import LONGEST_KEPT_S, KnowledgeRetrieval
from room_agent.core.router_client import (
    MAX_PASSAGE_CHARS,
    HeartbeatResult,
    RouterAway,
    RouterBusy,
    RouterClient,
    RouterError,
    RouterRefused,
    TenantBudget,
    TokenExpired,
)
from tests.support.scripted_router import ScriptedRouter

ROOM = "tenant_acme_standup"
AGENT_KEY = "agent-key-that-opens-rooms"
INJECTIONS = Path(__file__).parents[2] / "unit" / "room_agent" / "injections.toml"


def found(number: int, **changes: Any) -> dict[str, Any]:
    return {"id": f"p{number}", "source": f"handbook.pdf#{number}", "text": "Leave is 30 days.", "score": 0.5} | changes


async def over() -> None:
    """Wait until every search that is under way has ended, however it ends."""
    await asyncio.wait([task for task in asyncio.all_tasks() if task.get_name() == "knowledge"], timeout=5)


@pytest.fixture
async def router() -> AsyncIterator[ScriptedRouter]:
    async with ScriptedRouter(passages=[found(1), found(2)]).running() as router:
        yield router


@pytest.fixture
async def client(router: ScriptedRouter) -> AsyncIterator[RouterClient]:
    client = RouterClient(router.url, AGENT_KEY, ROOM, "job-1", '{"tenant_id": "acme"}')
    await client.open()
    yield client
    await client.aclose()


@pytest.fixture
async def knowledge(client: RouterClient) -> AsyncIterator[KnowledgeRetrieval]:
    knowledge = KnowledgeRetrieval(client, asyncio.get_running_loop().time)
    yield knowledge
    await knowledge.aclose()


async def test_a_question_and_its_frame_are_searched_with_the_rooms_token(
    router: ScriptedRouter, client: RouterClient
) -> None:
    passages = await client.search("how much leave", b"\xff\xd8jpeg", 5, 1.0)
    assert [(passage.passage_id, passage.source) for passage in passages] == [
        ("p1", "handbook.pdf#1"),
        ("p2", "handbook.pdf#2"),
    ]
    (asked,) = router.search_requests
    assert base64.b64decode(asked.pop("image").removeprefix("data:image/jpeg;base64,")) == b"\xff\xd8jpeg"
    assert asked == {"query": "how much leave", "top_k": 5}
    assert router.search_tokens == ["Bearer token-1"]


async def test_more_and_longer_passages_than_asked_for_are_cut(router: ScriptedRouter, client: RouterClient) -> None:
    router.passages = [found(number, text="x" * 50_000, new_field=1) for number in range(30)]
    passages = await client.search("how much leave", None, 5, 1.0)
    assert [len(passage.text) for passage in passages] == [MAX_PASSAGE_CHARS] * 5


@pytest.mark.parametrize(
    "wrong", [{"score": "high"}, {"score": float("nan")}, {"text": None}, {"source": 7}, {"id": ["p1"]}]
)
async def test_an_answer_that_is_none_is_refused(router: ScriptedRouter, client: RouterClient, wrong: Any) -> None:
    router.passages = [found(1, **wrong)]
    with pytest.raises(RouterRefused):
        await client.search("how much leave", None, 5, 1.0)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, TokenExpired), (402, RouterBusy), (403, RouterRefused), (422, RouterRefused), (503, RouterBusy)],
)
async def test_a_refused_search_is_ours_by_its_status(
    router: ScriptedRouter, client: RouterClient, status: int, kind: type[RouterError]
) -> None:
    router.search_statuses.append(status)
    with pytest.raises(kind):
        await client.search("how much leave", None, 5, 1.0)


async def test_a_search_has_the_deadline_it_is_given(router: ScriptedRouter, client: RouterClient) -> None:
    router.search_delay_s = 5.0
    with pytest.raises(RouterAway):
        await client.search("how much leave", None, 5, 0.05)


async def test_passages_that_come_in_time_are_found_and_an_empty_base_is_empty(
    router: ScriptedRouter, knowledge: KnowledgeRetrieval
) -> None:
    assert len(await knowledge.begin("how much leave").passages(deadline_s=5.0)) == 2
    router.passages = []
    assert await knowledge.begin("how much leave").passages(deadline_s=5.0) == ()
    assert (knowledge.counts.found, knowledge.counts.empty) == (1, 1)


async def test_a_late_search_keeps_nobody_waiting_beyond_its_deadline(
    router: ScriptedRouter, knowledge: KnowledgeRetrieval
) -> None:
    clock = asyncio.get_running_loop().time
    router.search_delay_s = 5.0
    search = knowledge.begin("how much leave")
    began_s = clock()
    assert await search.passages() == ()
    assert 0.25 <= clock() - began_s < 0.8
    assert knowledge.counts.late == 1 and knowledge.counts.report()["knowledge_late"] == 1


async def test_the_deadline_runs_from_the_questions_end_not_from_when_somebody_waits(
    router: ScriptedRouter, knowledge: KnowledgeRetrieval
) -> None:
    clock = asyncio.get_running_loop().time
    router.search_delay_s = 5.0
    search = knowledge.begin("how much leave")
    await asyncio.sleep(0.3)
    began_s = clock()
    assert await search.passages() == ()
    assert clock() - began_s < 0.2


@pytest.mark.parametrize("status", [0, 401, 402, 429, 500, 503])
async def test_a_search_that_fails_is_no_passages_and_counted(
    router: ScriptedRouter, knowledge: KnowledgeRetrieval, status: int
) -> None:
    router.search_statuses.append(status)
    assert await knowledge.begin("how much leave").passages(deadline_s=5.0) == ()
    assert knowledge.counts.failed == 1
    assert len(await knowledge.begin("how much leave").passages(deadline_s=5.0)) == 2


async def test_without_a_router_there_are_no_passages() -> None:
    client = RouterClient("http://127.0.0.1:9", AGENT_KEY, ROOM, "job-1", "{}")
    knowledge = KnowledgeRetrieval(client, asyncio.get_running_loop().time)
    assert await knowledge.begin("how much leave").passages(deadline_s=5.0) == ()
    assert knowledge.counts.failed == 1
    await client.aclose()


async def test_a_search_begun_on_interim_text_serves_the_whole_question(
    router: ScriptedRouter, knowledge: KnowledgeRetrieval
) -> None:
    early = knowledge.begin("How many days")
    search = knowledge.finish("how many days of leave do I get?")
    assert search is not early and len(router.search_requests) <= 1
    assert len(await search.passages(deadline_s=5.0)) == 2
    early = knowledge.begin("How many days of leave do")
    assert knowledge.finish("how many days of leave do I get?") is early
    assert len(await early.passages(deadline_s=5.0)) == 2


async def test_a_query_prefetched_twice_is_searched_once_and_another_wording_cancels_it(
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
    early = knowledge.begin("how much leave")
    now_s += LONGEST_KEPT_S
    assert early.is_usable
    now_s += 0.1
    assert knowledge.finish("how much leave") is not early
    await knowledge.aclose()


@pytest.mark.parametrize("status", [0, 429, 503])
async def test_a_failed_prefetch_is_searched_again_within_the_deadline(
    router: ScriptedRouter, knowledge: KnowledgeRetrieval, status: int
) -> None:
    router.search_statuses.append(status)
    early = knowledge.begin("how much leave")
    await over()
    search = knowledge.finish("How much leave?")
    assert search is not early and len(await search.passages()) == 2
    assert (knowledge.counts.found, knowledge.counts.failed, knowledge.counts.cancelled) == (1, 0, 0)


async def test_a_successful_prefetch_is_not_searched_again(
    router: ScriptedRouter, knowledge: KnowledgeRetrieval
) -> None:
    early = knowledge.begin("how much leave")
    await over()
    assert knowledge.finish("how much leave") is early and len(await early.passages()) == 2
    assert len(router.search_requests) == 1


async def test_a_search_serves_one_question_only(router: ScriptedRouter, knowledge: KnowledgeRetrieval) -> None:
    first = knowledge.begin("how much leave")
    await first.passages(deadline_s=5.0)
    assert knowledge.finish("how much leave") is not first


async def test_a_question_without_words_asks_nobody(router: ScriptedRouter, knowledge: KnowledgeRetrieval) -> None:
    assert await knowledge.begin("\x00 \u200b").passages(deadline_s=5.0) == ()
    assert router.search_requests == []


async def test_what_is_asked_before_or_after_a_long_paste_is_searched(
    router: ScriptedRouter, knowledge: KnowledgeRetrieval
) -> None:
    for asked in ("What is our notice period?", "\u0928\u094b\u091f\u093f\u0938 \u0958\u092c?"):
        for paste in ("The supplier shall deliver within thirty days. " * 60, "\u0958\u0932\u092e " * 700):
            for text in (f"{asked} {paste}", f"{paste} {asked}"):
                await knowledge.finish(text).passages(deadline_s=5.0)
                query = router.search_requests[-1]["query"]
                assert unicodedata.normalize("NFC", asked) in query and len(query) <= 4_000


async def test_who_interrupts_gives_the_search_up(router: ScriptedRouter, knowledge: KnowledgeRetrieval) -> None:
    router.search_delay_s = 5.0
    waiting = asyncio.create_task(knowledge.begin("how much leave").passages(deadline_s=5.0))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    search = knowledge.begin("and in my first year")
    search.cancel()
    assert await search.passages(deadline_s=5.0) == () and knowledge.counts.cancelled == 2


async def test_the_next_question_gives_the_last_ones_search_up(
    router: ScriptedRouter, knowledge: KnowledgeRetrieval
) -> None:
    router.search_delay_s = 0.3
    first, second = knowledge.begin("how much leave"), knowledge.begin("how much notice")
    assert len(await second.passages(deadline_s=5.0)) == 2
    assert await first.passages(deadline_s=5.0) == () and knowledge.counts.cancelled == 1


async def test_whatever_is_asked_is_one_field_and_carries_no_key(
    router: ScriptedRouter, knowledge: KnowledgeRetrieval
) -> None:
    attempts = tomllib.loads(INJECTIONS.read_text("utf-8"))["attempt"]
    for attempt in attempts:
        await knowledge.begin(attempt["text"]).passages(deadline_s=5.0)
    assert len(router.search_requests) == len(attempts) >= 30
    for asked in router.search_requests:
        assert set(asked) == {"query", "image", "top_k"} and asked["image"] is None and asked["top_k"] == 5
        assert isinstance(asked["query"], str) and len(asked["query"].splitlines()) == 1
        assert AGENT_KEY not in str(asked) and "token-1" not in str(asked)
    assert set(router.search_tokens) == {"Bearer token-1"}


async def test_usage_is_told_of_with_a_beat_until_it_is_taken(router: ScriptedRouter, client: RouterClient) -> None:
    event = {"id": "e1", "service": "stt", "model": "nova-3", "audio_ms": 1_200, "occurred_at": 1.5}
    router.budget = {"spent_nanousd": 90, "limit_nanousd": 90}
    beaten = await client.beat({"frames_seen": 1}, [event])
    assert router.usage == [event] and beaten.taken == ("e1",)
    assert beaten.budget is not None and beaten.budget.is_spent
    assert client.token == "token-1"


async def test_a_router_that_takes_no_usage_yet_takes_a_beat(router: ScriptedRouter, client: RouterClient) -> None:
    assert await client.beat({"frames_seen": 1}) == HeartbeatResult(taken=(), budget=None)
    assert router.usage == []


@pytest.mark.parametrize(("spent", "limit", "is_spent"), [(89, 90, False), (91, 90, True), (10**15, None, False)])
def test_a_budget_is_spent_at_its_limit(spent: int, limit: int | None, is_spent: bool) -> None:
    assert TenantBudget(spent_nanousd=spent, limit_nanousd=limit).is_spent is is_spent
