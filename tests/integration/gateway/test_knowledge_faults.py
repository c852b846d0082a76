"""Knowledge searches whose backend or whose embedding fails, is late, or answers too much."""

from __future__ import annotations

import json
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from cluster.backend.trpc import TrpcBackend
from cluster.backend.trpc_response import MAX_REPLY_BYTES
from cluster.lab.emulator import Emulator, Fault
from deployments.common.settings import KnowledgeSettings, VendorSettings
from tests.integration.gateway.knowledge import SEARCH, SECRET, knowledge_client
from tests.integration.gateway.router_requests import error_of
from tests.support.canned_server import CannedServer, canned_server
from tests.support.credentials import Bearer
from tests.support.gateway import SIMULATED, InProcessCluster


@pytest.fixture
async def bad() -> AsyncIterator[CannedServer]:
    async with canned_server("/trpc/knowledge.search") as server:
        yield server


def passages(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"result": {"data": list(rows)}}


def row(text: Any = "Acme closes on Friday.", **changes: Any) -> dict[str, Any]:
    return {"id": "a", "tenantId": "acme", "source": "handbook.md", "text": text, "score": 0.5} | changes


@asynccontextmanager
async def bad_knowledge_client(
    path: Path, bad: CannedServer, **changes: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, InProcessCluster]]:
    async with knowledge_client(path, TrpcBackend(bad.url, "k", "plain", timeout_s=5), **changes) as both:
        yield both


async def test_another_tenants_passage_is_dropped_and_alarmed_without_its_words(
    tmp_path: Path, bad: CannedServer, bearer: Bearer
) -> None:
    bad.reply = passages(row(SECRET, tenantId="globex", id="g"), row(), row(SECRET, tenantId=None))
    async with bad_knowledge_client(tmp_path, bad) as (http, _):
        with capture_logs() as logs:
            response = await http.post(SEARCH, json={"query": "when?", "top_k": 2}, headers=bearer())
    assert [found["id"] for found in response.json()["passages"]] == ["a"] and SECRET not in response.text
    (alarm,) = [line for line in logs if line["event"] == "passage of another tenant dropped"]
    assert (alarm["tenant"], alarm["passages"], alarm["log_level"]) == ("acme", 2, "error")
    assert SECRET not in str(logs)


async def test_a_long_answer_is_cut_passage_by_passage_and_as_a_whole(
    tmp_path: Path, bad: CannedServer, bearer: Bearer
) -> None:
    bad.reply = passages(*(row(str(n) * 9_000, id=str(n), source="s" * 5_000) for n in range(9)))
    limits = KnowledgeSettings(passage_chars=8_000, total_chars=20_000)
    async with bad_knowledge_client(tmp_path, bad, knowledge=limits) as (http, _):
        response = await http.post(SEARCH, json={"query": "all of it", "top_k": 7}, headers=bearer())
    found = response.json()["passages"]
    assert [len(one["text"]) for one in found] == [8_000, 8_000, 4_000]
    assert {len(one["source"]) for one in found} == {1_024}


async def test_a_passage_that_scores_too_low_is_dropped_and_one_without_a_score_stays(
    tmp_path: Path, bad: CannedServer, bearer: Bearer
) -> None:
    scores = {"low": 0.29, "enough": 0.3, "none": None, "negative": -1.0, "good": 0.9}
    bad.reply = passages(*(row(name, id=name, score=score) for name, score in scores.items()))
    async with bad_knowledge_client(tmp_path, bad, knowledge=KnowledgeSettings(least_score=0.3)) as (http, _):
        response = await http.post(SEARCH, json={"query": "all of it", "top_k": 3}, headers=bearer())
        fewer = await http.post(SEARCH, json={"query": "all of it", "top_k": 1}, headers=bearer())
    assert {one["id"]: one["score"] for one in response.json()["passages"]} == {"enough": 0.3, "none": None}
    assert fewer.json()["passages"] == []


async def test_no_more_passages_come_back_than_were_requested(
    tmp_path: Path, bad: CannedServer, bearer: Bearer
) -> None:
    bad.reply = passages(*(row(f"Rule {n}.", id=str(n)) for n in range(50)))
    async with bad_knowledge_client(tmp_path, bad) as (http, _):
        response = await http.post(SEARCH, json={"query": "all of it", "top_k": 3}, headers=bearer())
    assert [one["id"] for one in response.json()["passages"]] == ["0", "1", "2"]


WRONG_ANSWERS: dict[str, Any] = {
    "5 MB": json.dumps(passages(row("x" * 5_000_000))).encode(),
    "5 MB that is no JSON": b"x" * 5_000_000,
    "an object": {"result": {"data": {"passages": []}}},
    "nothing": {"result": {}},
    "words": passages() | {"result": {"data": ["Acme closes on Friday."]}},
    "no envelope": [],
    "brackets without an end": b"[" * 200_000,
}


@pytest.mark.parametrize("name", WRONG_ANSWERS)
async def test_a_wrong_answer_is_refused_and_the_next_question_is_answered(
    name: str, tmp_path: Path, bad: CannedServer, bearer: Bearer
) -> None:
    async with bad_knowledge_client(tmp_path, bad) as (http, cluster):
        bad.reply = WRONG_ANSWERS[name]
        wrong = await http.post(SEARCH, json={"query": "when?"}, headers=bearer())
        bad.reply = passages(row())
        right = await http.post(SEARCH, json={"query": "when?"}, headers=bearer())
        costs = [event["outcome"] for event in await cluster.events()]
    assert error_of(wrong)[:2] == (502, "backend_refused") and len(wrong.content) < 500
    assert len(right.json()["passages"]) == 1 and costs == ["ok", "ok"]
    assert MAX_REPLY_BYTES < 5_000_000


async def test_odd_rows_are_read_as_far_as_they_can_be(tmp_path: Path, bad: CannedServer, bearer: Bearer) -> None:
    scores = ((1, "high"), ("b", None), ("c", 10**400), ("d", "0.25"))
    rows = [row(f"Rule {number}.", score=score, id=number) for number, score in scores]
    rows += [row("", id="empty"), row(None, id="none"), row(["x"], id="list"), row("half a \ud83d face", id="half")]
    bad.reply = json.dumps(passages(*rows, row(score=math.nan, id="nan"))).encode()
    async with bad_knowledge_client(tmp_path, bad) as (http, _):
        response = await http.post(SEARCH, json={"query": "when?", "top_k": 20}, headers=bearer())
    found = {one["id"]: one["score"] for one in response.json()["passages"]}
    assert found == {"": None, "b": None, "c": None, "d": 0.25, "half": 0.5, "nan": None}
    assert "half a ? face" in response.text


async def test_a_late_knowledge_base_is_given_up_at_the_deadline(
    tmp_path: Path, bad: CannedServer, bearer: Bearer
) -> None:
    bad.reply, bad.delay_s = passages(row()), 5.0
    async with bad_knowledge_client(tmp_path, bad, knowledge=KnowledgeSettings(timeout_s=0.5)) as (http, cluster):
        started_s = time.monotonic()
        response = await http.post(SEARCH, json={"query": "when?"}, headers=bearer())
        took_s = time.monotonic() - started_s
        (event,) = await cluster.events()
    assert error_of(response)[:2] == (503, "backend_unavailable") and response.headers["retry-after"] == "1"
    assert took_s < 2 and event["outcome"] == "ok"


async def test_a_late_embedding_is_given_up_at_the_same_deadline_and_no_backend_is_called(
    tmp_path: Path, bad: CannedServer, bearer: Bearer
) -> None:
    async with Emulator().running() as emulator:
        emulator.plan(Fault(delay_s=5.0), vendor="voyage")
        voyage = VendorSettings(api="voyage", base_url=emulator.base_urls()["voyage"])
        changes = {"vendors": SIMULATED | {"voyage": voyage}, "knowledge": KnowledgeSettings(timeout_s=0.5)}
        async with bad_knowledge_client(tmp_path, bad, **changes) as (http, cluster):
            response = await http.post(SEARCH, json={"query": "when?"}, headers=bearer())
            (event,) = await cluster.events()
    assert error_of(response)[:2] == (504, "provider_timeout") and bad.requests == []
    assert (event["outcome"], event["estimated"]) == ("error", 1)


def vectors(*rows: Any, tokens: int = 7) -> bytes:
    data = [{"object": "embedding", "embedding": row, "index": index} for index, row in enumerate(rows)]
    usage = {"text_tokens": tokens, "image_pixels": 0, "video_pixels": 0, "total_tokens": tokens}
    return json.dumps({"object": "list", "data": data, "model": "m", "usage": usage}).encode()


WRONG_VECTORS = {
    "another size": vectors([0.1] * 512),
    "no numbers at all": vectors([]),
    "a number that is none": vectors([0.1] * 1_023 + [math.nan]),
    "a number without end": vectors([math.inf] + [0.1] * 1_023),
    "words": vectors(["a"] * 1_024),
    "booleans": vectors([True] * 1_024),
    "one boolean": vectors([0.1] * 1_023 + [False]),
    "zeros": vectors([0.0] * 1_024),
    "an integer too large": vectors([10**400] + [0.1] * 1_023),
}


@pytest.mark.parametrize("name", WRONG_VECTORS)
async def test_a_wrong_vector_is_a_vendors_error_that_is_paid_for_and_never_searched_with(
    name: str, tmp_path: Path, bad: CannedServer, bearer: Bearer
) -> None:
    async with canned_server("/v1/multimodalembeddings", reply=WRONG_VECTORS[name]) as vendor:
        voyage = VendorSettings(api="voyage", base_url=f"{vendor.url}/v1")
        async with bad_knowledge_client(tmp_path, bad, vendors=SIMULATED | {"voyage": voyage}) as (http, cluster):
            response = await http.post(SEARCH, json={"query": "when?"}, headers=bearer())
            plain = await http.post("/v1/embeddings", json={"input": "when?"}, headers=bearer())
            events = await cluster.events()
    assert error_of(response)[:2] == error_of(plain)[:2] == (502, "provider_error") and bad.requests == []
    assert [(event["outcome"], event["cost_nanousd"], event["estimated"]) for event in events] == [
        ("error", 840, 0)
    ] * 2


async def test_a_vendor_that_counts_below_zero_is_paid_its_estimate_and_flagged(
    tmp_path: Path, bad: CannedServer, bearer: Bearer
) -> None:
    bad.reply = passages(row())
    async with canned_server("/v1/multimodalembeddings", reply=vectors([0.1] * 1_024, tokens=-7)) as vendor:
        voyage = VendorSettings(api="voyage", base_url=f"{vendor.url}/v1")
        async with bad_knowledge_client(tmp_path, bad, vendors=SIMULATED | {"voyage": voyage}) as (http, cluster):
            response = await http.post(SEARCH, json={"query": "when?"}, headers=bearer())
            (event,) = await cluster.events()
    assert response.status_code == 200 and (event["outcome"], event["estimated"]) == ("ok", 1)
    assert event["cost_nanousd"] == response.json()["cost_nanousd"] > 0


@pytest.mark.parametrize(("takes", "methods"), [(True, ["POST", "POST"]), (False, ["POST", "GET", "GET"])])
async def test_a_question_too_long_for_a_url_is_posted_where_the_server_takes_that_and_cut_where_not(
    takes: bool, methods: list[str], tmp_path: Path, bad: CannedServer, bearer: Bearer
) -> None:
    bad.reply, bad.accepts_post = passages(row()), takes
    async with bad_knowledge_client(tmp_path, bad) as (http, _):
        for _ in range(2):
            response = await http.post(SEARCH, json={"query": "why " * 2_500}, headers=bearer())
            assert len(response.json()["passages"]) == 1
    assert bad.methods == methods
    for question in bad.requests:
        assert len(question["embedding"]) == 1_024 and question["tenantId"] == "acme"
        assert len(question["query"]) == 10_000 if takes else 500 < len(question["query"]) < 10_000
