"""Knowledge searches: their passages, their cost, and the questions that are refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from cluster.backend.sqlite import LocalBackend
from cluster.backend.trpc import TrpcBackend
from cluster.lab.emulator import Emulator
from deployments.common.settings import EmbeddingsSettings, VendorSettings
from routing.models import Passage
from tests.integration.gateway.knowledge import SEARCH, SECRET, knowledge_client
from tests.integration.gateway.router_requests import error_of
from tests.support.credentials import Bearer
from tests.support.gateway import SIMULATED, TENANTS, InProcessCluster, jpeg
from tests.support.local_backend import add_passage
from tests.support.trpc_backend import running_backend


@pytest.fixture
async def local(tmp_path: Path) -> LocalBackend:
    backend = LocalBackend(tmp_path / "backend.db", TENANTS)
    passage = Passage(passage_id="a", source="handbook/holidays.md", text="Acme closes on the last Friday.", score=0)
    await add_passage(backend, "acme", passage)
    secret = Passage(passage_id="g", source="wiki/secret.md", text=f"On Friday {SECRET}.", score=0)
    await add_passage(backend, "globex", secret)
    return backend


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
