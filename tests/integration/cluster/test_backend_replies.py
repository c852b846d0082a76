"""A malformed reply of the backend raises a BackendError, and none of its text is passed on."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from cluster.backend.tenant_cache import TenantCache
from cluster.backend.trpc import TrpcBackend
from cluster.backend.trpc_response import NoProcedure, TrpcError
from cluster.costs.row_answers import CallTooLarge
from routing.errors import BackendError, BackendRefused, BackendUnavailable
from routing.models import TenantAgent
from tests.support.canned_server import CannedServer, canned_server
from tests.support.cost_entries import flush_row
from tests.support.meeting_record import meeting_record

SECRET = "the vault opens at noon"
ACME = {"id": "acme", "name": "Acme", "plan": "pro", "monthlyBudgetUsd": 12.5, "requestsPerMinute": 30}


@pytest.fixture
async def server() -> AsyncIterator[CannedServer]:
    async with canned_server("/trpc/{procedure}") as crooked_server:
        yield crooked_server


@pytest.fixture
async def trpc(server: CannedServer) -> AsyncIterator[TrpcBackend]:
    trpc = TrpcBackend(server.url, "k", "plain", timeout_s=5)
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
async def test_a_reply_without_an_envelope_is_rejected_without_its_text(
    reply: Any, server: CannedServer, trpc: TrpcBackend
) -> None:
    server.reply = reply
    for status, kind in ((200, BackendRefused), (400, BackendRefused), (500, BackendUnavailable)):
        server.status = status
        with pytest.raises(kind) as excinfo:
            await trpc.tenant("acme")
        assert SECRET not in str(excinfo.value.envelope())


@pytest.mark.parametrize("code", ["NOT_FOUND", "BAD_REQUEST", "PRECONDITION_FAILED"])
async def test_an_error_holds_the_code_and_procedure_without_the_backends_message(
    code: str, server: CannedServer, trpc: TrpcBackend
) -> None:
    server.reply, server.status = error(code), 400
    with pytest.raises(TrpcError) as excinfo:
        await trpc.search("acme", "when?", [0.1], 5)
    assert excinfo.value.message == f"knowledge.search: the backend returned {code}." and excinfo.value.reason == code
    assert SECRET not in str(excinfo.value.envelope())


@pytest.mark.parametrize("code", ["INTERNAL_SERVER_ERROR", "BAD_GATEWAY", "SERVICE_UNAVAILABLE", "GATEWAY_TIMEOUT"])
async def test_a_transient_error_makes_the_backend_unavailable(
    code: str, server: CannedServer, trpc: TrpcBackend
) -> None:
    server.reply, server.status = error(code), 500
    with pytest.raises(BackendUnavailable):
        await trpc.tenant("acme")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(302, BackendRefused), (404, BackendRefused), (429, BackendUnavailable), (500, BackendUnavailable)],
)
async def test_a_result_is_accepted_only_with_a_success_status(
    status: int, kind: type[BackendError], server: CannedServer, trpc: TrpcBackend
) -> None:
    server.reply, server.status, server.headers = result(), status, {"location": "http://127.0.0.1:9/"}
    with pytest.raises(kind):
        await trpc.tenant("acme")
    server.reply = {"result": {"data": {"inserted": 1}}}
    with pytest.raises(kind):
        await trpc.track_costs([flush_row()])


ANSWERS = [
    ({"result": {"data": {"inserted": 1, "duplicates": 0}}}, "inserted"),
    ({"result": {"data": {"inserted": 0, "duplicates": 1}}}, "duplicate"),
    ({"result": {"data": {"inserted": True}}}, "inserted"),
    ({"result": {"data": {"inserted": False}}}, "duplicate"),
    ({"result": {"data": {"inserted": 0, "duplicates": 0}}}, "refused"),
    ({"result": {"data": {"inserted": "yes"}}}, "stored"),
    ({"result": {"data": None}}, "stored"),
    ({"result": {}}, "stored"),
    (error("CONFLICT"), "duplicate"),
    *((error(code), "later") for code in ("INTERNAL_SERVER_ERROR", "TOO_MANY_REQUESTS", "FORBIDDEN", "TIMEOUT")),
    *((error(code), "later") for code in ("PAYLOAD_TOO_LARGE", "UNAUTHORIZED", "NOT_IMPLEMENTED", "BAD_GATEWAY")),
    *((error(code), "refused") for code in ("NOT_FOUND", "BAD_REQUEST", "UNPROCESSABLE_CONTENT", "SOMETHING_ELSE")),
]


@pytest.mark.parametrize(("item", "kind"), ANSWERS, ids=json.dumps)
async def test_each_item_of_a_batch_is_sorted_by_its_own_answer(
    item: Any, kind: str, server: CannedServer, trpc: TrpcBackend
) -> None:
    good, other = flush_row(), flush_row()
    server.reply, server.status = [{"result": {"data": {"inserted": 1}}}, item], 207
    answers = await trpc.track_costs([good, other])
    assert (answers[good.flush_id].kind, answers[other.flush_id].kind) == ("inserted", kind)


WHOLE_BATCH_ERRORS = [
    (error("BAD_REQUEST", "Batching is not enabled on the server"), 400, CallTooLarge),
    ([error("PAYLOAD_TOO_LARGE"), error("PAYLOAD_TOO_LARGE")], 413, CallTooLarge),
    ({"statusCode": 413, "code": "FST_ERR_CTP_BODY_TOO_LARGE", "error": "Payload Too Large"}, 413, CallTooLarge),
    (b"<html>414 Request-URI Too Large</html>", 414, CallTooLarge),
    ([error("UNAUTHORIZED"), error("UNAUTHORIZED")], 401, BackendRefused),
    (error("UNAUTHORIZED"), 401, BackendRefused),
    ([error("NOT_FOUND", "No procedure found on path"), error("NOT_FOUND", "No procedure found")], 404, NoProcedure),
    (error("TOO_MANY_REQUESTS"), 429, BackendUnavailable),
    ([{"result": {"data": {"inserted": 1}}}], 200, BackendRefused),
    (b"<html>502 Bad Gateway</html>", 502, BackendUnavailable),
]


@pytest.mark.parametrize(("reply", "status", "kind"), WHOLE_BATCH_ERRORS, ids=str)
async def test_a_batch_that_fails_as_a_whole_raises(
    reply: Any, status: int, kind: type[BackendError], server: CannedServer, trpc: TrpcBackend
) -> None:
    server.reply, server.status = reply, status
    with pytest.raises(kind) as excinfo:
        await trpc.track_costs([flush_row(), flush_row()])
    assert type(excinfo.value) is kind and SECRET not in str(excinfo.value)


INVALID_NUMBERS = ["abc", "", True, [5], {}, math.nan, math.inf, -1, "-1", 10**400]


@pytest.mark.parametrize("key", ["monthlyBudgetUsd", "dailyBudgetUsd", "roomBudgetUsd", "requestsPerMinute"])
@pytest.mark.parametrize("value", INVALID_NUMBERS, ids=lambda value: str(value)[:9])
async def test_an_invalid_number_is_rejected_by_its_key_and_type(
    key: str, value: Any, server: CannedServer, trpc: TrpcBackend
) -> None:
    server.reply = result(**{key: value})
    with pytest.raises(BackendRefused, match=rf"{key} .* this {type(value).__name__} is not"):
        await trpc.tenant("acme")


async def test_a_rate_of_zero_is_rejected_and_a_budget_of_zero_is_accepted(
    server: CannedServer, trpc: TrpcBackend
) -> None:
    server.reply = result(requestsPerMinute=0)
    with pytest.raises(BackendRefused, match="requestsPerMinute"):
        await trpc.tenant("acme")
    server.reply = result(monthlyBudgetUsd="0.00", requestsPerMinute="30")
    acme = await trpc.tenant("acme")
    assert (acme.budget_nanousd, acme.requests_per_minute) == (0, 30)


async def test_a_tenants_budgets_and_its_time_zone_are_read(server: CannedServer, trpc: TrpcBackend) -> None:
    server.reply = result(dailyBudgetUsd=1.5, roomBudgetUsd="0.25", timeZone="Asia/Kathmandu")
    acme = await trpc.tenant("acme")
    assert (acme.budget_nanousd, acme.daily_budget_nanousd, acme.room_budget_nanousd, acme.time_zone) == (
        *(12_500_000_000, 1_500_000_000, 250_000_000),
        "Asia/Kathmandu",
    )


async def test_a_tenants_agent_is_read_without_its_wrong_fields(server: CannedServer, trpc: TrpcBackend) -> None:
    server.reply = result(agent={"names": ["Ada"], "instructions": "x" * 100_000})
    with capture_logs() as log_lines:
        acme = await trpc.tenant("acme")
    assert acme.agent == TenantAgent(names=("Ada",)) and [field.name for field in acme.refused] == ["instructions"]
    assert [(line["field"], line["tenant"]) for line in log_lines] == [("instructions", "acme")]


async def test_a_backend_without_the_procedures_of_records_refuses_them_and_ignores_refused_fields(
    server: CannedServer, trpc: TrpcBackend
) -> None:
    server.status, server.reply = 404, error("NOT_FOUND", 'No procedure found on path "sessions.report"')
    answer = await trpc.report_record(meeting_record())
    assert (answer.outcome, answer.reason) == ("refused", "NO_PROCEDURE")
    await trpc.report_refused({"tenantId": "acme"})
    with pytest.raises(BackendRefused):
        await trpc.delete_records("acme", None)


@pytest.mark.parametrize("value", ["", "Mars/Olympus", "../../etc/passwd", 1, "/usr/share/zoneinfo/UTC"])
async def test_an_unknown_time_zone_is_rejected(value: Any, server: CannedServer, trpc: TrpcBackend) -> None:
    server.reply = result(timeZone=value)
    with pytest.raises(BackendRefused, match="timeZone must be"):
        await trpc.tenant("acme")


@pytest.mark.parametrize(
    ("value", "thresholds", "wrong"),
    [
        ([0.9, "0.5", 1, 0.9], (0.5, 0.9, 1.0), None),
        ([], (), None),
        (None, None, None),
        ([0.5, 1.5, "half", True, None, 0, -1], (0.5,), ["1.5", "'half'", "True", "None", "0", "-1"]),
        (["x" * 100], None, ["'" + "x" * 39]),
        ({"half": 0.5}, None, ["{'half': 0.5}"]),
        (0.5, None, ["0.5"]),
        ([number / 100 for number in range(1, 31)], tuple(number / 100 for number in range(1, 21)), []),
    ],
)
async def test_wrong_budget_alerts_are_named_and_ignored(
    value: Any, thresholds: Any, wrong: list[str] | None, server: CannedServer, trpc: TrpcBackend
) -> None:
    server.reply = result(budgetAlerts=value)
    with capture_logs() as logs:
        acme = await trpc.tenant("acme")
    assert acme.budget_alerts == thresholds
    assert [field.name for field in acme.refused] == ([] if wrong is None else ["budgetAlerts"])
    assert [entry["wrong"] for entry in logs] == ([] if wrong is None else [wrong])
    assert all((entry["tenant"], entry["event"]) == ("acme", "budget alerts ignored") for entry in logs)


async def test_an_invalid_tenant_does_not_replace_the_cached_one(server: CannedServer, trpc: TrpcBackend) -> None:
    now_s = 0.0
    cache = TenantCache(trpc.tenant, ttl_s=30, stale_s=600, clock=lambda: now_s)
    server.reply = result()
    cached = await cache.tenant("acme")
    now_s, server.reply = 100.0, result(monthlyBudgetUsd="abc")
    assert await cache.tenant("acme") == cached and len(server.requests) == 2


async def test_a_name_with_a_lone_surrogate_can_be_encoded(server: CannedServer, trpc: TrpcBackend) -> None:
    server.reply = result(name="half a \ud83d face")
    assert (await trpc.tenant("acme")).name == "half a ? face"


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "br", "identity, gzip"])
async def test_a_compressed_reply_is_rejected_unread(encoding: str, server: CannedServer, trpc: TrpcBackend) -> None:
    server.reply, server.headers = gzip.compress(json.dumps(result()).encode()), {"content-encoding": encoding}
    with pytest.raises(BackendRefused, match="turn compression off"):
        await trpc.tenant("acme")
    server.status = 503
    with pytest.raises(BackendUnavailable):
        await trpc.tenant("acme")
    assert server.accept_encodings == {"identity"}


async def test_a_reply_with_identity_encoding_is_read(server: CannedServer, trpc: TrpcBackend) -> None:
    server.reply, server.headers = result(), {"content-encoding": "identity"}
    assert (await trpc.tenant("acme")).budget_nanousd == 12_500_000_000


@pytest.mark.parametrize(
    ("header", "waits_s"), [("17", 17.0), ("1e9", 300.0), ("-3", 0.0), ("nan", 0.0), ("soon", None)]
)
async def test_an_invalid_retry_after_is_ignored_and_a_large_one_is_capped(
    header: str, waits_s: float | None, server: CannedServer, trpc: TrpcBackend
) -> None:
    server.reply, server.status, server.headers = error("TOO_MANY_REQUESTS"), 429, {"retry-after": header}
    with pytest.raises(BackendUnavailable) as excinfo:
        await trpc.tenant("acme")
    assert excinfo.value.retry_after_s == waits_s
