"""The contract of every backend: one suite for SQLite and for a real tRPC server in both transformers."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import pytest_asyncio

from cluster.backend.base import Backend
from cluster.backend.refused_fields import report_input
from cluster.backend.sqlite import LocalBackend
from cluster.backend.trpc import TrpcBackend
from cluster.costs.flusher import ROWS_A_CALL
from cluster.costs.row_answers import RowAnswer
from cluster.lab.stack.backend_peer import BackendPeer
from routing.errors import BackendError, BackendRefused, BackendUnavailable, TenantUnknown
from routing.models import Passage, RefusedField, Tenant
from routing.records.models import at_time
from routing.tools.models import ToolInvocation, ToolResult
from tests.support.cost_entries import flush_row
from tests.support.local_backend import add_passage, billed_totals_nanousd
from tests.support.meeting_record import meeting_record
from tests.support.trpc_backend import amounts_since, running_backend, running_example, set_faults

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOCAL_TENANTS = (
    Tenant(tenant_id="acme", name="Acme", plan="pro", active=True, budget_nanousd=None, requests_per_minute=None),
    Tenant(tenant_id="globex", name="Globex", plan="free", active=True, budget_nanousd=None, requests_per_minute=None),
    Tenant(
        tenant_id="initech", name="Initech", plan="free", active=False, budget_nanousd=None, requests_per_minute=None
    ),
    Tenant(
        tenant_id="umbrella", name="Umbrella", plan="free", active=True, budget_nanousd=1_000, requests_per_minute=30
    ),
)
LOCAL_PASSAGES = {
    "acme": Passage(passage_id="a", source="handbook/holidays.md", text="Acme closes on the last Friday.", score=0),
    "globex": Passage(passage_id="g", source="wiki/release.md", text="Globex releases every second Tuesday.", score=0),
}


@dataclass
class BilledBackend:
    """A backend, and the totals billed to it before a test."""

    backend: Backend
    totals_nanousd: Callable[[], Awaitable[dict[str, int]]]
    before_nanousd: dict[str, int] = field(default_factory=dict)

    async def billed_nanousd(self) -> dict[str, int]:
        """Return the amounts billed in the test."""
        return amounts_since(self.before_nanousd, await self.totals_nanousd())


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=["local", "trpc plain", "trpc superjson", "the example"]
)
async def shared_backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[BilledBackend]:
    if request.param == "local":
        local = LocalBackend(tmp_path_factory.mktemp("local") / "backend.db", LOCAL_TENANTS)
        for tenant_id, passage in LOCAL_PASSAGES.items():
            await add_passage(local, tenant_id, passage)
        yield BilledBackend(local, lambda: billed_totals_nanousd(local))
        return
    transformer: Any = "plain" if "plain" in request.param else "superjson"
    async with running_example() if request.param == "the example" else running_backend(transformer) as peer:
        trpc = TrpcBackend(peer.url, peer.key, transformer, timeout_s=30)
        yield BilledBackend(trpc, peer.totals_nanousd)
        await trpc.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def billed(shared_backend: BilledBackend) -> BilledBackend:
    return replace(shared_backend, before_nanousd=await shared_backend.totals_nanousd())


def kinds(answers: Mapping[str, RowAnswer]) -> list[str]:
    return [answer.kind for answer in answers.values()]


async def test_a_tenant_is_returned_by_its_id(billed: BilledBackend) -> None:
    acme, umbrella = await billed.backend.tenant("acme"), await billed.backend.tenant("umbrella")
    assert (acme.name, acme.plan, acme.active, acme.budget_nanousd) == ("Acme", "pro", True, None)
    assert (umbrella.budget_nanousd, umbrella.requests_per_minute) == (1_000, 30)
    assert not (await billed.backend.tenant("initech")).active


def stock_call(tenant_id: str, tool: str, **arguments: str) -> ToolInvocation:
    return ToolInvocation(
        tenant_id=tenant_id, room="r", participant="ann", tool=tool, arguments=arguments, call_id="c1"
    )


async def test_a_backend_offers_its_tools_to_the_tenants_that_have_them(billed: BilledBackend) -> None:
    assert await billed.backend.tools("acme") == ()
    if isinstance(billed.backend, LocalBackend):
        with pytest.raises(BackendRefused):
            await billed.backend.call_tool(stock_call("acme", "count_stock"))
        return
    source = (await billed.backend.tenant("hooli")).tools.backend
    assert source is not None and source.price_of("count_stock") == 1_000_000
    tools = {tool.name: tool for tool in await billed.backend.tools("hooli")}
    assert (tools["count_stock"].read_only, tools["order_item"].read_only) == (True, False)
    assert tools["count_stock"].parameters["type"] == "object" and tools["count_stock"].title == "Count the stock"
    result = await billed.backend.call_tool(stock_call("hooli", "count_stock", item="plums"))
    assert result == ToolResult(text="There are 42 pieces of plums.")
    for call in (stock_call("acme", "count_stock"), stock_call("hooli", "toString"), stock_call("hooli", "none")):
        with pytest.raises(BackendError):
            await billed.backend.call_tool(call)


async def test_an_unknown_tenant_raises_tenant_unknown(billed: BilledBackend) -> None:
    with pytest.raises(TenantUnknown):
        await billed.backend.tenant("nobody")


async def test_a_part_of_a_record_is_stored_once_and_not_at_all_after_its_deletion(billed: BilledBackend) -> None:
    backend, earlier = billed.backend, at_time(time.time() - 60)
    standup = meeting_record(started_at=earlier, ended_at=earlier, retention_days=30)
    review = meeting_record(started_at=earlier, record_id="RM_2", meeting_id="review")
    later = review.model_copy(update={"started_at": at_time(time.time() + 60), "record_id": "RM_3"})
    outcomes = [(await backend.report_record(part)).outcome for part in (standup, standup, review)]
    assert outcomes == ["stored", "duplicate", "stored"]
    assert await backend.delete_records("acme", "standup") == 1
    assert [(await backend.report_record(part)).outcome for part in (standup, review)] == ["deleted", "duplicate"]
    assert await backend.delete_records("globex", None) == 0 and await backend.delete_records("acme", None) == 1
    assert [(await backend.report_record(part)).outcome for part in (review, later)] == ["deleted", "stored"]
    refused = RefusedField(name="voice", problem="Extra inputs are not permitted")
    await backend.report_refused(report_input("acme", "record", (refused,)))


async def test_a_row_sent_twice_is_stored_once(billed: BilledBackend) -> None:
    rows = [flush_row(700), flush_row(50, tenant_id="globex")]
    first = await billed.backend.track_costs(rows)
    second = await billed.backend.track_costs(rows)
    assert first == {sent_row.flush_id: RowAnswer(kind="inserted") for sent_row in rows}
    assert second == {sent_row.flush_id: RowAnswer(kind="duplicate") for sent_row in rows}
    assert await billed.billed_nanousd() == {"acme": 700, "globex": 50}


async def test_a_thousand_amounts_add_up_to_the_nano_dollar(billed: BilledBackend) -> None:
    rng = random.Random(5)
    rows = [flush_row(rng.randrange(10 ** rng.randrange(1, 14))) for _ in range(1_000)]
    for start in range(0, 1_000, ROWS_A_CALL):
        assert len(kinds(await billed.backend.track_costs(rows[start : start + ROWS_A_CALL]))) == ROWS_A_CALL
    assert await billed.billed_nanousd() == {"acme": sum(sent_row.cost_nanousd for sent_row in rows)}


async def test_a_permanently_rejected_row_is_named_and_does_not_block_the_others(billed: BilledBackend) -> None:
    good, bad = flush_row(), flush_row(tenant_id="nobody")
    assert kinds(await billed.backend.track_costs([bad, good])) == ["refused", "inserted"]


async def test_a_search_returns_only_passages_of_the_tenant(billed: BilledBackend) -> None:
    own = await billed.backend.search("acme", "which Friday do we close", [0.1, 0.2], 5)
    others = await billed.backend.search("globex", "which Friday do we close", [0.1, 0.2], 5)
    assert [passage.source for passage in own] == ["handbook/holidays.md"] and (own[0].score or 0) > 0
    assert others == ()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_peer() -> AsyncIterator[BackendPeer]:
    async with running_backend() as peer:
        yield peer


@pytest_asyncio.fixture(loop_scope="module")
async def peer(shared_peer: BackendPeer) -> BackendPeer:
    await set_faults(shared_peer)
    return shared_peer


@pytest_asyncio.fixture(loop_scope="module")
async def trpc(peer: BackendPeer) -> AsyncIterator[TrpcBackend]:
    trpc = TrpcBackend(peer.url, peer.key, "superjson", timeout_s=2)
    yield trpc
    await trpc.aclose()


@pytest.mark.parametrize("rows", [1, 3])
async def test_a_lost_reply_and_its_retry_are_billed_once(rows: int, trpc: TrpcBackend, peer: BackendPeer) -> None:
    before = await peer.totals_nanousd()
    await set_faults(peer, loseReply=1)
    sent = [flush_row(700) for _ in range(rows)]
    with pytest.raises(BackendUnavailable):
        await trpc.track_costs(sent)
    assert kinds(await trpc.track_costs(sent)) == ["duplicate"] * rows
    assert amounts_since(before, await peer.totals_nanousd()) == {"acme": 700 * rows}


async def test_rows_with_a_transient_error_may_be_stored_later(trpc: TrpcBackend, peer: BackendPeer) -> None:
    before = await peer.totals_nanousd()
    await set_faults(peer, failBefore=2)
    rows = [flush_row(1), flush_row(2), flush_row(3)]
    assert sorted(kinds(await trpc.track_costs(rows))) == ["inserted", "later", "later"]
    assert sorted(kinds(await trpc.track_costs(rows))) == ["duplicate", "inserted", "inserted"]
    assert amounts_since(before, await peer.totals_nanousd()) == {"acme": 6}


async def test_the_retry_after_of_the_backend_is_passed_on(trpc: TrpcBackend, peer: BackendPeer) -> None:
    await set_faults(peer, rateLimit=1, retryAfterS=17)
    (answer,) = (await trpc.track_costs([flush_row()])).values()
    assert (answer.kind, answer.reason, answer.retry_after_s) == ("later", "TOO_MANY_REQUESTS", 17.0)


async def test_a_slow_backend_is_unavailable_at_the_deadline(peer: BackendPeer) -> None:
    await set_faults(peer, delayMs=3_000)
    backend = TrpcBackend(peer.url, peer.key, "superjson", timeout_s=0.2)
    with pytest.raises(BackendUnavailable):
        await backend.tenant("acme")
    await backend.aclose()


async def test_an_unreachable_backend_is_unavailable() -> None:
    backend = TrpcBackend("http://127.0.0.1:9", "k", "plain", timeout_s=2)
    with pytest.raises(BackendUnavailable):
        await backend.track_costs([flush_row()])
    await backend.aclose()


async def test_the_error_for_a_wrong_key_or_transformer_names_the_setting(peer: BackendPeer) -> None:
    bad_key = TrpcBackend(peer.url, "not-the-key", "superjson", timeout_s=2)
    plain = TrpcBackend(peer.url, peer.key, "plain", timeout_s=2)
    with pytest.raises(BackendRefused, match=r"backend\.key_env") as excinfo:
        await bad_key.tenant("acme")
    assert "not-the-key" not in str(excinfo.value)
    for call in (plain.tenant("acme"), plain.track_costs([flush_row()]), plain.track_costs([flush_row(), flush_row()])):
        with pytest.raises(BackendRefused, match=r"backend\.transformer=plain"):
            await call
    await bad_key.aclose()
    await plain.aclose()


async def test_every_field_of_a_row_reaches_the_backend(trpc: TrpcBackend, peer: BackendPeer) -> None:
    sent = replace(flush_row(1_234_567_891), seq=4, cumulative_nanousd=9_000_000_000_000_007, estimated_requests=1)
    await trpc.track_costs([sent])
    (event,) = (event for event in await peer.events("acme") if event["metadata"]["flushId"] == sent.flush_id)
    metadata = event["metadata"]
    assert event["costUsd"] == 1.234567891 and event["timestamp"] == "2026-09-21T14:13:30.000Z"
    assert metadata["seq"] == 4 and metadata["simulated"] is True
    assert metadata["costNanousd"] == "1234567891" and metadata["cumulativeNanousd"] == "9000000000000007"
    assert metadata["usage"] == {"input_tokens": 30} and metadata["estimatedRequests"] == 1
