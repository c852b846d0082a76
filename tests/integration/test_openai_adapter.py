"""The OpenAI adapter through the real SDK, against a server on a real socket that speaks its protocol."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator

import pytest

from deployments.providers.emulator import Emulator, Fault
from deployments.providers.openai import OpenAIProvider
from routing.catalogue import load_catalogue
from routing.errors import (
    ProviderAuth,
    ProviderError,
    ProviderOverloaded,
    ProviderQuota,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderTruncated,
    ProviderUnreachable,
)
from routing.messages import Answer, Ask, EmbedAsk, Message
from tests.integration.world import jpeg

LUNA = load_catalogue().get("gpt-6-luna")


def ask(text: str = "What is on the screen?", images: tuple[bytes, ...] = (), timeout_s: float = 5.0) -> Ask:
    message = Message(role="user", text=text, images=images)
    return Ask(model="gpt-6-luna", messages=(message,), max_output_tokens=8, timeout_s=timeout_s)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator().running() as emulator:
        yield emulator


@pytest.fixture
async def provider(emulator: Emulator) -> AsyncIterator[OpenAIProvider]:
    provider = OpenAIProvider(api_key="k", base_url=f"{emulator.url}/openai/v1")
    provider.warm_up()
    yield provider
    await provider.aclose()


async def streamed(provider: OpenAIProvider, an_ask: Ask) -> Answer:
    deltas = [delta async for delta in provider.stream(LUNA, an_ask)]
    last = deltas[-1]
    assert last.finish is not None
    return Answer(text="".join(d.text for d in deltas), model=LUNA.name, finish=last.finish, usage=last.usage)


@pytest.mark.parametrize("how", ["answer", "stream"])
async def test_an_answer_carries_the_usage_the_vendor_counted(
    how: str, provider: OpenAIProvider, emulator: Emulator
) -> None:
    an_ask = ask(images=(jpeg(),))
    answer = await (provider.answer(LUNA, an_ask) if how == "answer" else streamed(provider, an_ask))
    (seen,) = emulator.journal
    assert answer.usage is not None and answer.finish == "stop" and len(answer.text.split()) == 8
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (seen.prompt_tokens, seen.completion_tokens)
    assert seen.images == 1 and seen.stream == (how == "stream") and seen.model == "gpt-6-luna"


async def test_embeddings_come_with_their_usage(provider: OpenAIProvider) -> None:
    inputs = (Message(role="user", text="one two"), Message(role="user", text="three"))
    result = await provider.embed(LUNA, EmbedAsk(model="gpt-6-luna", inputs=inputs))
    assert len(result.vectors) == 2 and result.usage is not None and result.usage.input_tokens == 3


FAULTS: dict[str, tuple[Fault, type[ProviderError]]] = {
    "rate limit": (Fault(status=429, code="rate_limit_exceeded"), ProviderRateLimited),
    "no credit": (Fault(status=429, code="insufficient_quota"), ProviderQuota),
    "bad key": (Fault(status=401, code="invalid_api_key"), ProviderAuth),
    "bad request": (Fault(status=400, code="context_length_exceeded"), ProviderRefused),
    "server error": (Fault(status=500), ProviderOverloaded),
    "overloaded": (Fault(status=503, code="server_is_overloaded"), ProviderOverloaded),
    "silence": (Fault(delay_s=2.0), ProviderTimeout),
}


@pytest.mark.parametrize("how", ["answer", "stream"])
@pytest.mark.parametrize("name", FAULTS)
async def test_a_vendors_error_is_ours_asked_once_and_survives_pickling(
    name: str, how: str, provider: OpenAIProvider, emulator: Emulator
) -> None:
    fault, kind = FAULTS[name]
    emulator.faults.append(fault)
    an_ask = ask(timeout_s=0.3 if fault.delay_s else 5.0)
    with pytest.raises(kind) as failed:
        await (provider.answer(LUNA, an_ask) if how == "answer" else streamed(provider, an_ask))
    assert type(failed.value) is kind
    assert type(pickle.loads(pickle.dumps(failed.value))) is kind
    assert len(emulator.journal) <= 1


async def test_retry_after_is_kept_and_capped(provider: OpenAIProvider, emulator: Emulator) -> None:
    waits = []
    for value in ("7", "7200", "soon"):
        emulator.faults.append(Fault(status=429, code="rate_limit_exceeded", headers={"retry-after": value}))
        with pytest.raises(ProviderRateLimited) as failed:
            await provider.answer(LUNA, ask())
        waits.append(failed.value.retry_after_s)
    assert waits == [7.0, 60.0, None]


async def test_a_stream_that_ends_without_its_finish_marker_is_an_error(
    provider: OpenAIProvider, emulator: Emulator
) -> None:
    emulator.faults.append(Fault(cut_after_chunks=3))
    with pytest.raises(ProviderTruncated):
        await streamed(provider, ask())


async def test_a_connection_that_breaks_in_the_middle_is_an_error(provider: OpenAIProvider, emulator: Emulator) -> None:
    emulator.faults.append(Fault(reset_after_chunks=3))
    with pytest.raises((ProviderUnreachable, ProviderTruncated)):
        await streamed(provider, ask())


async def test_a_server_that_is_not_there_is_unreachable_at_once() -> None:
    provider = OpenAIProvider(api_key="k", base_url="http://127.0.0.1:9/openai/v1")
    with pytest.raises((ProviderUnreachable, ProviderTimeout)):
        await asyncio.wait_for(provider.answer(LUNA, ask()), 4)
    await provider.aclose()
