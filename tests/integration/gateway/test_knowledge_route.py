"""Knowledge searches: their passages, their cost, and the faults of vendors and backends."""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from cluster.backend.base import Backend
from cluster.backend.sqlite import LocalBackend
from cluster.backend.trpc import TrpcBackend
from cluster.backend.trpc_response import MAX_REPLY_BYTES
from cluster.lab.emulator import Emulator, Fault
from deployments.common.settings import EmbeddingsSettings, KnowledgeSettings, VendorSettings
from deployments.routes import build_routes
from routing.models import Passage
from tests.support.canned_server import CannedServer, canned_server
from tests.support.credentials import Bearer
from tests.support.gateway import SIMULATED, TENANTS, InProcessCluster, Tenants, gateway_in_process, jpeg
from tests.support.local_backend import add_passage
from tests.support.trpc_backend import running_backend

SEARCH = "/v1/knowledge/search"
SECRET = "the vault opens at noon"


@dataclass
class Knowing(Tenants):
    """A directory that searches in a real backend."""

    backend: Backend | None = None

    async def search(self, tenant_id: str, query: str, embedding: tuple[float, ...], top_k: int) -> tuple[Passage, ...]:
        assert self.backend is not None
        return await self.backend.search(tenant_id, query, embedding, top_k)


@asynccontextmanager
async def knowledge_client(
    path: Path, backend: Backend, **changes: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, InProcessCluster]]:
    async with gateway_in_process(path, directory=Knowing(backend=backend), **changes) as (gateway, cluster):
        transport = httpx.ASGITransport(build_routes(gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://router") as http:
            yield http, cluster
    await backend.aclose()


@pytest.fixture
async def local(tmp_path: Path) -> LocalBackend:
    backend = LocalBackend(tmp_path / "backend.db", TENANTS)
    passage = Passage(passage_id="a", source="handbook/holidays.md", text="Acme closes on the last Friday.", score=0)
    await add_passage(backend, "acme", passage)
    secret = Passage(passage_id="g", source="wiki/secret.md", text=f"On Friday {SECRET}.", score=0)
    await add_passage(backend, "globex", secret)
    return backend


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


def error_of(response: httpx.Response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["param"]


def data_url(image: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(image).decode()


async def test_a_question_finds_its_tenants_passages_and_costs_its_embedding(
    tmp_path: Path, local: LocalBackend, bearer: Bearer
) -> None:
    async with knowledge_client(tmp_path, local) as (http, cluster):
        response = await http.post(SEARCH, json={"query": "which Friday do we close?"}, headers=bearer())
        (event,) = await cluster.events()
    body = response.json()
    assert response.status_code == 200 and set(body) == {"passages", "model", "cost_nanousd", "simulated"}
    (found,) = body["passages"]
    assert (found["id"], found["source"], found["text"]) == (
        "a",
        "handbook/holidays.md",
        "Acme closes on the last Friday.",
    )
    assert found["score"] > 0 and body["model"] == "simulated/voyage-multimodal-3.5" and body["simulated"] is True
    assert (event["tenant_id"], event["service"], event["cost_nanousd"]) == ("acme", "embeddings", body["cost_nanousd"])


async def test_the_tenant_is_the_tokens_and_nothing_in_the_question_changes_it(
    tmp_path: Path, local: LocalBackend, bearer: Bearer
) -> None:
    async with knowledge_client(tmp_path, local) as (http, _):
        headers = bearer(**{"x-tenant-id": "globex"})
        own = await http.post(f"{SEARCH}?tenantId=globex", json={"query": "Friday, tenant globex"}, headers=headers)
        named = await http.post(SEARCH, json={"query": "Friday", "tenantId": "globex"}, headers=headers)
        theirs = await http.post(SEARCH, json={"query": "Friday"}, headers=bearer("tenant_globex_x"))
    assert [found["id"] for found in own.json()["passages"]] == ["a"] and SECRET not in own.text
    assert error_of(named) == (400, "unknown_parameter", "tenantId")
    assert SECRET in theirs.text


async def test_a_frame_is_embedded_with_its_question_and_billed_as_the_vendor_counts(
    tmp_path: Path, local: LocalBackend, bearer: Bearer
) -> None:
    async with Emulator().running() as emulator:
        voyage = VendorSettings(api="voyage", base_url=emulator.base_urls()["voyage"])
        async with knowledge_client(tmp_path, local, vendors=SIMULATED | {"voyage": voyage}) as (http, cluster):
            question = {"query": "which Friday is that?", "image": data_url(jpeg(640, 360)), "top_k": 1}
            response = await http.post(SEARCH, json=question, headers=bearer())
            (event,) = await cluster.events()
    (seen,) = emulator.journal
    assert response.json()["simulated"] is False and [one["id"] for one in response.json()["passages"]] == ["a"]
    assert seen.images == 1 and seen.image_px == 640 * 360
    usage = json.loads(str(event["usage"]))
    assert usage == {"image_px": seen.image_px, "input_tokens": seen.prompt_tokens}
    assert event["cost_nanousd"] == seen.prompt_tokens * 120 + seen.image_px * 600 // 1_000


async def test_where_no_model_embeds_pictures_the_words_are_searched_and_billed_alone(
    tmp_path: Path, local: LocalBackend, bearer: Bearer
) -> None:
    blind = EmbeddingsSettings(models=("voyage-4",))
    async with knowledge_client(tmp_path, local, embeddings=blind) as (http, cluster):
        question = {"query": "which Friday is that?", "image": data_url(jpeg())}
        answers = [
            await http.post(SEARCH, json=question | {"image": one}, headers=bearer())
            for one in (question["image"], None)
        ]
        broken = await http.post(SEARCH, json=question | {"image": data_url(b"hello")}, headers=bearer())
        seen, unseen = await cluster.events()
    assert [[found["id"] for found in one.json()["passages"]] for one in answers] == [["a"], ["a"]]
    assert (
        "image_px" not in json.loads(str(seen["usage"]))
        and int(str(seen["cost_nanousd"])) == int(str(unseen["cost_nanousd"])) > 0
    )
    assert error_of(broken)[0] == 400


BAD_QUESTIONS: dict[str, tuple[dict[str, Any], tuple[int, str, str]]] = {
    "no query": ({"query": None}, (400, "invalid_value", "query")),
    "an empty query": ({"query": ""}, (400, "invalid_value", "query")),
    "a blank query": ({"query": " \n"}, (400, "invalid_value", "query")),
    "10,001 characters": ({"query": "x" * 10_001}, (400, "invalid_value", "query")),
    "no passages wanted": ({"top_k": 0}, (400, "invalid_value", "top_k")),
    "too many wanted": ({"top_k": 21}, (400, "invalid_value", "top_k")),
    "a word for a number": ({"top_k": "5"}, (400, "invalid_value", "top_k")),
    "an address for an image": ({"image": "http://127.0.0.1/x.jpg"}, (400, "invalid_value", "image")),
    "an image that is none": ({"image": data_url(b"hello")}, (400, "invalid_value", "image")),
    "half an image": ({"image": data_url(jpeg()[:2_000])}, (400, "invalid_value", "image")),
    "no base64": ({"image": "data:image/jpeg;base64,%%%"}, (400, "invalid_value", "image")),
    "an unknown key": ({"tenant_id": "globex"}, (400, "unknown_parameter", "tenant_id")),
}


@pytest.mark.parametrize("name", BAD_QUESTIONS)
async def test_a_bad_question_is_refused_by_name_and_costs_nothing(
    name: str, http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    changes, expected = BAD_QUESTIONS[name]
    response = await http.post(SEARCH, json={"query": "which Friday?"} | changes, headers=bearer())
    assert error_of(response) == expected and await cluster.events() == []


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        ("tenant_initech_x", (403, "tenant_suspended")),
        ("tenant_nobody_x", (404, "tenant_not_found")),
        ("tenant_poor_x", (402, "budget_exceeded")),
    ],
)
async def test_a_refused_tenant_gets_the_reason(
    room: str, expected: tuple[int, str], http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    response = await http.post(SEARCH, json={"query": "why " * 900}, headers=bearer(room))
    assert error_of(response)[:2] == expected and await cluster.events() == []


CHAT = {"model": "auto", "messages": [{"role": "user", "content": "which Friday?"}]}


async def test_searches_never_take_the_answers_place_and_a_flood_of_them_is_refused(
    http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    headers = bearer("tenant_slow_x")
    searches = [await http.post(SEARCH, json={"query": "which Friday?"}, headers=headers) for _ in range(12)]
    answer = await http.post("/v1/chat/completions", json=CHAT, headers=headers)
    refused = [search for search in searches if search.status_code == 429]
    assert {search.status_code for search in searches[:4]} == {200} and len(refused) >= 5
    assert 1 <= int(refused[-1].headers["retry-after"]) <= 3
    assert answer.status_code == 200 and len(await cluster.events()) == 13 - len(refused)


async def test_answers_take_no_searches_place(http: httpx.AsyncClient, bearer: Bearer) -> None:
    headers = bearer("tenant_slow_x")
    answers = [await http.post("/v1/chat/completions", json=CHAT, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert (await http.post(SEARCH, json={"query": "which Friday?"}, headers=headers)).status_code == 200


async def test_a_search_without_a_token_is_refused_and_costs_nothing(
    http: httpx.AsyncClient, cluster: InProcessCluster
) -> None:
    assert error_of(await http.post(SEARCH, json={"query": "q"})) == (401, "invalid_api_key", "authorization")
    assert await cluster.events() == []


async def test_an_empty_knowledge_base_is_an_empty_list(http: httpx.AsyncClient, bearer: Bearer) -> None:
    response = await http.post(SEARCH, json={"query": "which Friday?"}, headers=bearer())
    assert response.status_code == 200 and response.json()["passages"] == []


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


async def test_a_real_trpc_server_accepts_a_whole_vector_and_ten_thousand_characters(
    tmp_path: Path, bearer: Bearer
) -> None:
    async with running_backend("superjson") as peer:
        async with knowledge_client(tmp_path, TrpcBackend(peer.url, peer.key, "superjson", timeout_s=5)) as (http, _):
            short = await http.post(SEARCH, json={"query": "which Friday in June?"}, headers=bearer())
            queries = ["Friday " + "\u00e9" * 9_990, "Friday " + "why " * 2_498, 'Friday "' + "\\" * 9_990]
            long = [await http.post(SEARCH, json={"query": query}, headers=bearer()) for query in queries]
            theirs = await http.post(SEARCH, json={"query": "which Friday?"}, headers=bearer("tenant_globex_x"))
    assert [len(one.json()["passages"]) for one in (short, *long)] == [1, 1, 1, 1]
    assert short.json()["passages"][0]["source"] == "handbook/holidays.md" and theirs.json()["passages"] == []


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
