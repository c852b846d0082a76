"""One contract, asked of every vendor's embeddings through its real SDK, against a server that speaks its protocol."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator

import pytest

from cluster.lab.emulator import Fault
from routing.catalogue import Model
from routing.chat import Image, Message
from routing.errors import (
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnreachable,
)
from routing.models import EmbedRequest, Tier, Usage
from tests.integration.providers.connected_adapters import (
    CATALOGUE,
    FAULT_CASES,
    INPUTS,
    ConnectedAdapters,
    FaultCase,
    connected_adapters,
)
from tests.support.gateway import jpeg


@pytest.fixture
async def adapters(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ConnectedAdapters]:
    monkeypatch.setenv("VENDOR_KEY", "k")
    async with connected_adapters() as adapters:
        yield adapters


EMBEDDERS = {
    "text": ("voyage", "voyage-3.5"),
    "multimodal": ("voyage", "voyage-multimodal-3.5"),
}


@pytest.mark.parametrize("name", EMBEDDERS)
async def test_each_text_gets_its_own_vector_and_all_are_billed(name: str, adapters: ConnectedAdapters) -> None:
    vendor, model = EMBEDDERS[name]
    result = await adapters.provider(vendor).embed(CATALOGUE.get(model), EmbedRequest(model=model, inputs=INPUTS))
    (seen,) = adapters.emulator.journal
    assert len(set(result.vectors)) == 2 and len(result.vectors[0]) == CATALOGUE.get(model).dimensions
    assert result.usage == Usage(input_tokens=seen.prompt_tokens) and seen.prompt_tokens == 3


@pytest.mark.parametrize("name", EMBEDDERS)
async def test_vectors_have_the_requested_size(name: str, adapters: ConnectedAdapters) -> None:
    vendor, model = EMBEDDERS[name]
    request = EmbedRequest(model=model, inputs=INPUTS, dimensions=256)
    result = await adapters.provider(vendor).embed(CATALOGUE.get(model), request)
    assert [len(vector) for vector in result.vectors] == [256, 256]


async def test_token_ids_reach_a_server_that_speaks_openais_protocol_and_no_other(adapters: ConnectedAdapters) -> None:
    model = Model(name="own", vendor="own", services=("embeddings",), tier=Tier.SIMPLE, source="a test")
    inputs = (Message(role="user", token_ids=(1, 2, 3)), Message(role="user", token_ids=(4,)))
    request = EmbedRequest(model="own", inputs=inputs, dimensions=64)
    result = await adapters.provider("openai").embed(model, request)
    assert [len(vector) for vector in result.vectors] == [64, 64] and len(set(result.vectors)) == 2
    with pytest.raises(ProviderRefused, match="token ids"):
        await adapters.provider("voyage").embed(CATALOGUE.get("voyage-4"), request)


async def test_a_server_that_speaks_openais_protocol_makes_vectors_too(adapters: ConnectedAdapters) -> None:
    model = Model(name="own", vendor="own", services=("embeddings",), tier=Tier.SIMPLE, source="a test")
    result = await adapters.provider("openai").embed(model, EmbedRequest(model="own", inputs=INPUTS))
    assert len(set(result.vectors)) == 2 and result.usage == Usage(input_tokens=3)


async def test_a_picture_is_billed_by_its_pixels(adapters: ConnectedAdapters) -> None:
    model = "voyage-multimodal-3.5"
    inputs = (
        Message(
            role="user",
            content=("a chart", Image(data=jpeg(640, 360))),
        ),
        Message(role="user", content=("three",)),
    )
    result = await adapters.provider("voyage").embed(CATALOGUE.get(model), EmbedRequest(model=model, inputs=inputs))
    assert result.usage == Usage(input_tokens=3, image_px=640 * 360) and len(set(result.vectors)) == 2


async def test_vectors_without_usage_are_kept_and_their_usage_is_unknown(adapters: ConnectedAdapters) -> None:
    adapters.emulator.plan(Fault(unreported_usage=True))
    model = "voyage-multimodal-3.5"
    result = await adapters.provider("voyage").embed(CATALOGUE.get(model), EmbedRequest(model=model, inputs=INPUTS))
    assert result.usage is None and len(result.vectors) == 2


async def test_a_picture_is_not_sent_to_a_model_of_texts(adapters: ConnectedAdapters) -> None:
    inputs = (Message(role="user", content=(Image(data=jpeg()),)),)
    with pytest.raises(ProviderRefused, match="text only"):
        await adapters.provider("voyage").embed(
            CATALOGUE.get("voyage-3.5"), EmbedRequest(model="voyage-3.5", inputs=inputs)
        )
    assert len(adapters.emulator.journal) == 0


EMBEDDING_FAULTS = {
    name: FAULT_CASES[name]
    for name in ("bad key", "bad request", "server error", "page of HTML", "no JSON", "silence", "reset at once")
} | {
    "rate limit": FaultCase(Fault(status=429, headers={"retry-after": "7"}), ProviderRateLimited, "first_token", 7.0),
    "reset in the body": FaultCase(Fault(reset_after_bytes=20), ProviderUnreachable, "first_token"),
}


@pytest.mark.parametrize("name", EMBEDDING_FAULTS)
async def test_a_failed_embedding_is_ours(name: str, adapters: ConnectedAdapters) -> None:
    case, model = EMBEDDING_FAULTS[name], "voyage-multimodal-3.5"
    adapters.emulator.plan(case.fault)
    with pytest.raises(ProviderError) as failed:
        await adapters.provider("voyage").embed(
            CATALOGUE.get(model), EmbedRequest(model=model, inputs=INPUTS, timeout_s=0.8)
        )
    error = pickle.loads(pickle.dumps(failed.value))
    assert (type(error), error.facts["phase"], error.retry_after_s) == (case.kind, case.phase, case.retry_after_s)
    assert len(adapters.emulator.journal) == 1
