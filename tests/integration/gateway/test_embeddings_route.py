"""Embeddings as OpenAI's clients request them: many inputs, token ids, sizes and encodings."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.common.settings import EmbeddingsSettings
from deployments.gateway.service import Gateway
from routing.catalogue import OwnModel, OwnPrice, load_catalogue
from routing.errors import ProviderOverloaded
from routing.models import EmbeddingResult, EmbedRequest, Tier, Usage
from tests.support.credentials import Bearer
from tests.support.gateway import InProcessCluster, gateway_in_process
from tests.support.scripted_replica import ScriptedReplica

PATH = "/v1/embeddings"
OWN = OwnModel(
    name="own",
    vendor="own",
    services=("embeddings",),
    tier=Tier.SIMPLE,
    token_ids=True,
    price=OwnPrice(effective_from=dt.date(2026, 1, 1), input_pico=1),
)


class CountingReplica(ScriptedReplica):
    """Embeds each text as its number; `failures` are raised by the first calls of a model."""

    failures: dict[str, list[Exception]]

    async def embed(self, request: EmbedRequest) -> EmbeddingResult:
        self.embed_requests.append(request)
        if failures := self.failures.get(request.model, []):
            raise failures.pop(0)
        size = request.dimensions or 1_024
        vectors = tuple((float(message.text or 1), *[0.0] * (size - 1)) for message in request.inputs)
        return EmbeddingResult(vectors=vectors, model=request.model, usage=Usage(input_tokens=len(vectors)))


@pytest.fixture
def models() -> CountingReplica:
    replica = CountingReplica()
    replica.failures = {}
    return replica


@pytest.fixture
async def gateway_and_cluster(
    tmp_path: Path, models: CountingReplica
) -> AsyncIterator[tuple[Gateway, InProcessCluster]]:
    embeddings = EmbeddingsSettings(models=("voyage-4", "voyage-3.5", "own"))
    catalogue = load_catalogue().extended([OWN])
    async with gateway_in_process(tmp_path, leaf=models, catalogue=catalogue, embeddings=embeddings) as both:
        yield both


def refusal(response: httpx.Response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["param"]


async def test_2048_inputs_are_embedded_in_order_and_each_call_is_billed_once(
    http: httpx.AsyncClient, bearer: Bearer, models: CountingReplica, cluster: InProcessCluster
) -> None:
    texts = [str(number) for number in range(1, 2_049)]
    response = await http.post(PATH, json={"model": "voyage-4", "input": texts}, headers=bearer())
    body = response.json()
    assert [row["embedding"][0] for row in body["data"]] == [float(text) for text in texts]
    assert [row["index"] for row in body["data"]] == list(range(2_048)) and body["usage"]["prompt_tokens"] == 2_048
    events = await cluster.events()
    assert len(events) == len(models.embed_requests) == 22 and len({event["event_id"] for event in events}) == 22
    assert body["rayroom"]["cost_nanousd"] == sum(int(str(event["cost_nanousd"])) for event in events) > 0
    too_many = await http.post(PATH, json={"model": "voyage-4", "input": [*texts, "x"]}, headers=bearer())
    assert refusal(too_many) == (400, "invalid_value", "input")


async def test_all_vectors_of_a_request_are_of_the_model_that_embedded_the_first(
    http: httpx.AsyncClient, bearer: Bearer, models: CountingReplica
) -> None:
    models.failures = {"voyage-4": [ProviderOverloaded(), ProviderOverloaded()]}
    response = await http.post(PATH, json={"input": ["1"] * 200}, headers=bearer())
    assert response.json()["model"] == "voyage-3.5"
    assert [request.model for request in models.embed_requests][2:] == ["voyage-3.5"] * 3


async def test_a_call_that_fails_for_good_fails_the_request_with_its_error(
    http: httpx.AsyncClient, bearer: Bearer, models: CountingReplica
) -> None:
    models.failures = {"own": [ProviderOverloaded()] * 9}
    ids = [[7, 8]] * 200
    response = await http.post(PATH, json={"input": ids}, headers=bearer())
    assert refusal(response)[:2] == (503, "provider_overloaded")


@pytest.mark.parametrize("value", [[1, 2, 3], [[1, 2, 3]]])
async def test_token_ids_are_passed_on_to_a_model_that_takes_them(
    value: Any, http: httpx.AsyncClient, bearer: Bearer, models: CountingReplica
) -> None:
    response = await http.post(PATH, json={"input": value}, headers=bearer())
    (request,) = models.embed_requests
    assert response.json()["model"] == request.model == "own"
    assert [message.token_ids for message in request.inputs] == [(1, 2, 3)]
    refused = await http.post(PATH, json={"input": value, "model": "voyage-4"}, headers=bearer())
    assert refusal(refused) == (400, "invalid_value", "input")


@pytest.mark.parametrize(("dimensions", "passed"), [(256, 256), (1_024, None), (None, None)])
async def test_the_size_of_a_vector_is_passed_on_where_it_is_not_the_models_own(
    dimensions: int | None, passed: int | None, http: httpx.AsyncClient, bearer: Bearer, models: CountingReplica
) -> None:
    body = {"input": "7", "model": "voyage-4", "dimensions": dimensions, "encoding_format": None, "user": None}
    response = await http.post(PATH, json=body, headers=bearer())
    assert len(response.json()["data"][0]["embedding"]) == dimensions or 1_024
    assert [request.dimensions for request in models.embed_requests] == [passed]


async def test_a_size_that_a_model_lacks_is_refused_or_dropped(
    http: httpx.AsyncClient, bearer: Bearer, models: CountingReplica
) -> None:
    body: dict[str, Any] = {"input": "7", "model": "voyage-4", "dimensions": 100}
    refused = await http.post(PATH, json=body, headers=bearer())
    assert refusal(refused) == (400, "unsupported_parameter", "dimensions") and models.embed_requests == []
    dropped = await http.post(PATH, json=body | {"drop_params": True}, headers=bearer())
    assert dropped.status_code == 200 and models.embed_requests[0].dimensions is None


BAD: dict[str, tuple[Any, str]] = {
    "an empty list": ([], "input"),
    "an empty text": (["1", ""], "input.1"),
    "no token ids": ([[1], []], "input.1"),
    "a negative id": ([[1, -1]], "input.0.1"),
    "a text among ids": ([1, "a"], "input.0.1"),
    "true": ([True], "input.0"),
    "300,001 ids": ([[1] * 150_000, [1] * 150_001], "input"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_input_is_refused_with_its_path(name: str, http: httpx.AsyncClient, bearer: Bearer) -> None:
    value, param = BAD[name]
    response = await http.post(PATH, json={"input": value, "model": "own"}, headers=bearer())
    assert refusal(response) == (400, "invalid_value", param)
