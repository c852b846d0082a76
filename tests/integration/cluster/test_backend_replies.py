"""A malformed reply of the backend raises a BackendError, and none of its text is passed on."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cluster.backend.tenant_cache import TenantCache
from cluster.backend.trpc import TrpcBackend
from cluster.backend.trpc_response import TrpcError
from routing.errors import BackendError, BackendRefused, BackendUnavailable
from tests.integration.cluster.test_backend_contract import row
from tests.support.canned_server import CannedServer, canned_server

SECRET = "the vault opens at noon"
ACME = {"id": "acme", "name": "Acme", "plan": "pro", "monthlyBudgetUsd": 12.5, "requestsPerMinute": 30}


@pytest.fixture
async def bad() -> AsyncIterator[CannedServer]:
    async with canned_server("/trpc/{procedure}") as server:
        yield server


@pytest.fixture
async def trpc(bad: CannedServer) -> AsyncIterator[TrpcBackend]:
    trpc = TrpcBackend(bad.url, "k", "plain", timeout_s=5)
    yield trpc
    await trpc.aclose()


def result(**changes: Any) -> dict[str, Any]:
    return {"result": {"data": ACME | changes}}


def error(code: Any, message: str = SECRET) -> dict[str, Any]:
    return {"error": {"message": message, "code": -32600, "data": {"code": code}}}


NO_ENVELOPES: list[Any] = [
    {"error": SECRET},
    {"error": {"message": SECRET, "data": SECRET}},
    {"error": {"message": SECRET, "data": [SECRET]}},
    {"error": {"message": SECRET}},
    {"error": {"json": SECRET}},
    {"error": {"json": {"data": {"code": 7}}}},
    {"error": None},
    error(["NOT_FOUND"]),
    error(SECRET),
    {"result": [SECRET]},
    SECRET,
]


@pytest.mark.parametrize("reply", NO_ENVELOPES, ids=json.dumps)
async def test_an_odd_error_is_no_trpc_and_its_words_stay_behind(
    reply: Any, bad: CannedServer, trpc: TrpcBackend
) -> None:
    bad.reply = reply
    for status, kind in ((200, BackendRefused), (400, BackendRefused), (500, BackendUnavailable)):
        bad.status = status
        with pytest.raises(kind) as refused:
            await trpc.tenant("acme")
        assert SECRET not in str(refused.value.envelope())


@pytest.mark.parametrize("code", ["NOT_FOUND", "BAD_REQUEST", "PRECONDITION_FAILED"])
async def test_an_error_says_its_code_and_its_procedure_and_not_the_backends_words(
    code: str, bad: CannedServer, trpc: TrpcBackend
) -> None:
    bad.reply, bad.status = error(code), 400
    with pytest.raises(TrpcError) as told:
        await trpc.search("acme", "when?", [0.1], 5)
    assert told.value.message == f"knowledge.search: the backend returned {code}." and told.value.reason == code
    assert SECRET not in str(told.value.envelope())


@pytest.mark.parametrize("code", ["INTERNAL_SERVER_ERROR", "BAD_GATEWAY", "SERVICE_UNAVAILABLE", "GATEWAY_TIMEOUT"])
async def test_what_may_be_better_later_is_no_refusal_of_a_window(
    code: str, bad: CannedServer, trpc: TrpcBackend
) -> None:
    bad.reply, bad.status = error(code), 500
    with pytest.raises(BackendUnavailable):
        await trpc.track_costs([row()])


@pytest.mark.parametrize(
    ("status", "kind"),
    [(302, BackendRefused), (404, BackendRefused), (429, BackendUnavailable), (500, BackendUnavailable)],
)
async def test_a_result_counts_with_a_status_of_success_only(
    status: int, kind: type[BackendError], bad: CannedServer, trpc: TrpcBackend
) -> None:
    bad.reply, bad.status, bad.headers = result(), status, {"location": "http://127.0.0.1:9/"}
    with pytest.raises(kind):
        await trpc.tenant("acme")
    bad.reply = {"result": {"data": {"inserted": 1}}}
    with pytest.raises(kind):
        await trpc.track_costs([row()])


async def test_a_batch_whose_items_ended_differently_has_a_status_of_its_own(
    bad: CannedServer, trpc: TrpcBackend
) -> None:
    good, wrong = row(), row()
    bad.reply, bad.status = [{"result": {"data": {"inserted": 1}}}, error("NOT_FOUND")], 207
    tracked = await trpc.track_costs([good, wrong])
    assert tracked.accepted == {good.flush_id} and tracked.refused == {wrong.flush_id: "NOT_FOUND"}


NO_NUMBERS = ["abc", "", True, [5], {}, math.nan, math.inf, -1, "-1", 10**400]


@pytest.mark.parametrize("key", ["monthlyBudgetUsd", "requestsPerMinute"])
@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: str(value)[:9])
async def test_a_number_that_is_none_is_refused_by_its_key_and_kind(
    key: str, value: Any, bad: CannedServer, trpc: TrpcBackend
) -> None:
    bad.reply = result(**{key: value})
    with pytest.raises(BackendRefused, match=rf"{key} .* this {type(value).__name__} is not"):
        await trpc.tenant("acme")


async def test_a_rate_of_nothing_is_refused_and_a_budget_of_nothing_is_one(
    bad: CannedServer, trpc: TrpcBackend
) -> None:
    bad.reply = result(requestsPerMinute=0)
    with pytest.raises(BackendRefused, match="requestsPerMinute"):
        await trpc.tenant("acme")
    bad.reply = result(monthlyBudgetUsd="0.00", requestsPerMinute="30")
    acme = await trpc.tenant("acme")
    assert (acme.budget_nanousd, acme.requests_per_minute) == (0, 30)


async def test_a_tenant_that_turned_odd_is_served_as_it_was(bad: CannedServer, trpc: TrpcBackend) -> None:
    now_s = 0.0
    cache = TenantCache(trpc.tenant, ttl_s=30, stale_s=600, clock=lambda: now_s)
    bad.reply = result()
    before = await cache.tenant("acme")
    now_s, bad.reply = 100.0, result(monthlyBudgetUsd="abc")
    assert await cache.tenant("acme") == before and len(bad.requests) == 2


async def test_a_name_with_half_a_character_can_be_sent_on(bad: CannedServer, trpc: TrpcBackend) -> None:
    bad.reply = result(name="half a \ud83d face")
    assert (await trpc.tenant("acme")).name == "half a ? face"


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "br", "identity, gzip"])
async def test_a_compressed_reply_is_refused_unread_and_none_is_asked_for(
    encoding: str, bad: CannedServer, trpc: TrpcBackend
) -> None:
    bad.reply, bad.headers = gzip.compress(json.dumps(result()).encode()), {"content-encoding": encoding}
    with pytest.raises(BackendRefused, match="turn compression off"):
        await trpc.tenant("acme")
    bad.status = 503
    with pytest.raises(BackendUnavailable):
        await trpc.tenant("acme")
    assert bad.accept_encodings == {"identity"}


async def test_a_reply_that_says_it_is_not_compressed_is_read(bad: CannedServer, trpc: TrpcBackend) -> None:
    bad.reply, bad.headers = result(), {"content-encoding": "identity"}
    assert (await trpc.tenant("acme")).budget_nanousd == 12_500_000_000


@pytest.mark.parametrize(("told", "waits_s"), [("17", 17.0), ("1e9", 300.0), ("-3", 0.0), ("nan", 0.0), ("soon", None)])
async def test_how_long_to_wait_is_a_number_within_bounds_or_unknown(
    told: str, waits_s: float | None, bad: CannedServer, trpc: TrpcBackend
) -> None:
    bad.reply, bad.status, bad.headers = error("TOO_MANY_REQUESTS"), 429, {"retry-after": told}
    with pytest.raises(BackendUnavailable) as refused:
        await trpc.tenant("acme")
    assert refused.value.retry_after_s == waits_s
