"""A reservation is never below the vendor's charge: pictures, odd text, tools and thinking included."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from cluster.lab.emulator import Emulator, Fault
from deployments.model_replica import ModelReplica
from routing.billing.charges import Tariff
from routing.capabilities import effort_of, thinking_tokens
from routing.chat import ChatOptions, Effort, Image, Message, Tool
from routing.estimates import estimate_chat, estimate_embedding
from routing.models import EmbedRequest, ModelRequest
from tests.integration.gateway.fault_bench import CATALOGUE, charged, price_of, vendors
from tests.support.gateway import FAST, jpeg

pytestmark = pytest.mark.asyncio(loop_scope="module")
MODELS = (
    "gpt-6-luna",
    "gpt-6.1-sol",
    "claude-haiku-5-5",
    "claude-sonnet-5-5",
    "gemini-3.5-flash-lite",
    "gemini-3.8-flash",
)
LARGE = Image(data=jpeg(2_048, 2_048), width_px=2_048, height_px=2_048)
SCHEMA = {"type": "object", "properties": {letter: {"type": "string"} for letter in "abcdefgh"}}
TOOLS = ChatOptions(tools=(Tool(name="look", description="Look at a b c d e f.", parameters=SCHEMA),))
CONTENTS: dict[str, tuple[str | Image, ...]] = {
    "eight large pictures": ("What do they show?", *[LARGE] * 8),
    "one-letter words": ("a b c d e f g h " * 500,),
    "digits and signs": ("1 2 3 , . ! ? " * 500,),
    "other scripts": ("\u00e9 \u4f60 \U0001f600 " * 500,),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator().running() as emulator:
        yield emulator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def replica(emulator: Emulator) -> AsyncIterator[ModelReplica]:
    replica = ModelReplica(vendors(emulator), FAST, CATALOGUE)
    yield replica
    await replica.aclose()


def chat(
    model: str, *content: str | Image, effort: Effort | None = None, options: ChatOptions | None = None
) -> ModelRequest:
    rules = CATALOGUE.get(model).capabilities
    level = effort_of(rules, ChatOptions(reasoning_effort=effort))
    return ModelRequest(
        model=model,
        messages=(Message(role="user", content=content),),
        effort=level,
        thinking_tokens=thinking_tokens(rules, level),
        options=options or ChatOptions(),
    )


async def is_covered(emulator: Emulator, replica: ModelReplica, request: ModelRequest) -> bool:
    """Return whether the vendor's charge for a long answer fits in the reservation."""
    emulator.plan(Fault(answer_tokens=100_000))
    await replica.answer(request)
    seen, model = emulator.journal[-1], CATALOGUE.get(request.model)
    tariff = Tariff(price=price_of(model.name), most=estimate_chat(model, request))
    assert seen.status == 200 and seen.completion_tokens > 0
    return tariff.reservation_nanousd >= price_of(model.name).cost_nanousd(charged(seen))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("content", CONTENTS)
async def test_pictures_and_odd_text_cost_no_more_than_is_reserved(
    content: str, model: str, emulator: Emulator, replica: ModelReplica
) -> None:
    assert await is_covered(emulator, replica, chat(model, *CONTENTS[content]))


@pytest.mark.parametrize("model", MODELS)
async def test_tools_and_thinking_cost_no_more_than_is_reserved(
    model: str, emulator: Emulator, replica: ModelReplica
) -> None:
    thinking = CATALOGUE.get(model).capabilities.thinking
    highest = thinking.efforts[-1] if thinking is not None else None
    assert await is_covered(emulator, replica, chat(model, "Look.", effort=highest, options=TOOLS))


async def test_pictures_and_odd_text_of_an_embedding_cost_no_more_than_is_reserved(
    emulator: Emulator, replica: ModelReplica
) -> None:
    inputs = (Message(role="user", content=("a b c d " * 100, LARGE)),) * 4
    request = EmbedRequest(model="voyage-multimodal-3.5", inputs=inputs)
    await replica.embed(replace(request, timeout_s=30.0))
    price, seen = price_of(request.model), emulator.journal[-1]
    assert price.cost_nanousd(estimate_embedding(request)) >= price.cost_nanousd(charged(seen)) > 0
