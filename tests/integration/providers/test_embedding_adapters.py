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
from tests.integration.room_agent.desk import (
    CATALOGUE,
    INPUTS,
    REFUSED,
    Case,
    Desk,
    connected_desk,
)
from tests.support.gateway import jpeg


@pytest.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setenv("VENDOR_KEY", "k")
    async with connected_desk() as desk:
        yield desk


EMBEDDERS = {
    "text": ("voyage", "voyage-3.5"),
    "multimodal": ("voyage", "voyage-multimodal-3.5"),
}


@pytest.mark.parametrize("name", EMBEDDERS)
async def test_each_text_gets_its_own_vector_and_all_are_billed(name: str, desk: Desk) -> None:
    vendor, model = EMBEDDERS[name]
    result = await desk.provider(vendor).embed(CATALOGUE.get(model), EmbedRequest(model=model, inputs=INPUTS))
    (seen,) = desk.emulator.journal
    assert len(set(result.vectors)) == 2 and len(result.vectors[0]) == CATALOGUE.get(model).dimensions
    assert result.usage == Usage(input_tokens=seen.prompt_tokens) and seen.prompt_tokens == 3


async def test_a_server_that_speaks_openais_protocol_makes_vectors_too(desk: Desk) -> None:
    model = Model(name="own", vendor="own", services=("embeddings",), tier=Tier.SIMPLE, source="a test")
    result = await desk.provider("openai").embed(model, EmbedRequest(model="own", inputs=INPUTS))
    assert len(set(result.vectors)) == 2 and result.usage == Usage(input_tokens=3)


async def test_a_picture_is_billed_by_its_pixels(desk: Desk) -> None:
    model = "voyage-multimodal-3.5"
    inputs = (
        Message(
            role="user",
            content=("a chart", Image(data=jpeg(640, 360))),
        ),
        Message(role="user", content=("three",)),
    )
    result = await desk.provider("voyage").embed(CATALOGUE.get(model), EmbedRequest(model=model, inputs=inputs))
    assert result.usage == Usage(input_tokens=3, image_px=640 * 360) and len(set(result.vectors)) == 2


async def test_vectors_without_usage_are_kept_and_their_usage_is_unknown(desk: Desk) -> None:
    desk.emulator.plan(Fault(untold_usage=True))
    model = "voyage-multimodal-3.5"
    result = await desk.provider("voyage").embed(CATALOGUE.get(model), EmbedRequest(model=model, inputs=INPUTS))
    assert result.usage is None and len(result.vectors) == 2


async def test_a_picture_is_not_sent_to_a_model_of_texts(desk: Desk) -> None:
    inputs = (Message(role="user", content=(Image(data=jpeg()),)),)
    with pytest.raises(ProviderRefused, match="text only"):
        await desk.provider("voyage").embed(
            CATALOGUE.get("voyage-3.5"), EmbedRequest(model="voyage-3.5", inputs=inputs)
        )
    assert len(desk.emulator.journal) == 0


EMBEDDING_FAULTS = {
    name: REFUSED[name]
    for name in ("bad key", "bad request", "server error", "page of HTML", "no JSON", "silence", "reset at once")
} | {
    "rate limit": Case(Fault(status=429, headers={"retry-after": "7"}), ProviderRateLimited, "first_token", 7.0),
    "reset in the body": Case(Fault(reset_after_bytes=20), ProviderUnreachable, "first_token"),
}


@pytest.mark.parametrize("name", EMBEDDING_FAULTS)
async def test_a_failed_embedding_is_ours(name: str, desk: Desk) -> None:
    case, model = EMBEDDING_FAULTS[name], "voyage-multimodal-3.5"
    desk.emulator.plan(case.fault)
    with pytest.raises(ProviderError) as failed:
        await desk.provider("voyage").embed(
            CATALOGUE.get(model), EmbedRequest(model=model, inputs=INPUTS, timeout_s=0.8)
        )
    error = pickle.loads(pickle.dumps(failed.value))
    assert (type(error), error.facts["phase"], error.retry_after_s) == (case.kind, case.phase, case.retry_after_s)
    assert len(desk.emulator.journal) == 1
