"""A model replica records each vendor call twice, and bills a cut one by what the vendor reported and sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import pytest

from cluster.lab.emulator import Emulator, Extras, Fault
from deployments.common.settings import VendorSettings
from deployments.model_replica import ModelReplica
from routing.billing.charges import MOST_UNDER_WAY_S
from routing.billing.usage_means import UsageMeans
from routing.capabilities import effort_of, thinking_tokens
from routing.chat import ChatOptions, Message, Tool
from routing.errors import ProviderError, ProviderRefused, ProviderUnconnected
from routing.models import CallRecord, EmbedRequest, ModelRequest, Usage
from tests.integration.gateway.fault_bench import CATALOGUE, CLOSED_PORT_URL, charged, is_near, price_of, vendors
from tests.integration.providers.connected_adapters import wait_until
from tests.support.gateway import FAST

LUNA, SOL, HAIKU, FLASH = "gpt-6-luna", "gpt-6.1-sol", "claude-haiku-5-5", "gemini-3.5-flash-lite"
QUESTION = Message(role="user", content=("What is on the screen? " * 20,))
TOOLS = ChatOptions(tools=(Tool(name="look", parameters={"type": "object", "properties": {}}),))
EVENT = "event-1"
TENANT = "acme"
BREAKS: dict[str, Callable[[int], Fault]] = {
    "cut": lambda chunks: Fault(cut_after_chunks=chunks),
    "reset": lambda chunks: Fault(reset_after_chunks=chunks),
    "overload": lambda chunks: Fault(overload_after_chunks=chunks),
}


def chat(model: str, effort: bool = False) -> ModelRequest:
    rules = CATALOGUE.get(model).capabilities
    level = rules.thinking.efforts[-1] if effort and rules.thinking is not None else effort_of(rules, ChatOptions())
    return ModelRequest(
        model=model,
        messages=(QUESTION,),
        max_output_tokens=200,
        effort=level,
        thinking_tokens=thinking_tokens(rules, level),
        timeout_s=5.0,
        event_id=EVENT,
        tenant_id=TENANT,
    )


REQUESTS = {
    "chat completions": chat(LUNA),
    "responses": replace(chat(SOL, effort=True), options=TOOLS),
    "messages": chat(HAIKU),
    "messages with thinking": chat(HAIKU, effort=True),
    "gemini": chat(FLASH),
    "gemini with thinking": chat(FLASH, effort=True),
}
EACH_API = pytest.mark.parametrize("api", REQUESTS)
EACH_METHOD = pytest.mark.parametrize("method", ["answer", "stream"])


@dataclass
class Bench:
    """One replica at the emulator, and its records."""

    emulator: Emulator
    replica: ModelReplica
    added: list[CallRecord] = field(default_factory=list)

    def start(self) -> None:
        return None

    def add(self, record: CallRecord) -> None:
        self.added.append(record)

    async def aclose(self) -> None:
        return None

    async def send(self, method: str, request: ModelRequest) -> None:
        if method == "answer":
            await self.replica.answer(request)
            return
        async with aclosing(self.replica.stream(request)) as deltas:
            async for _ in deltas:
                pass

    async def record_good_answer(self, request: ModelRequest, fault: Fault | None = None) -> None:
        """Let the model answer once, so that the means of its answers are known."""
        self.emulator.plan(fault or Fault())
        await self.send("answer", request)
        self.added.clear()

    def pair(self) -> CallRecord:
        """Return the record of the end; the one before says that the request left, and costs something."""
        sent, ended = self.added
        assert (sent.ended, ended.ended, sent.event_id, ended.event_id) == (False, True, EVENT, EVENT)
        assert sent.tenant_id == ended.tenant_id == TENANT
        assert sent.estimated and sent.cost_nanousd > 0
        return ended


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Emulator().running() as emulator:
        yield (made := bench_of(emulator, vendors(emulator)))
        await made.replica.aclose()


def bench_of(emulator: Emulator, settings: dict[str, VendorSettings]) -> Bench:
    records = Bench(emulator, ModelReplica({}, FAST, CATALOGUE))
    records.replica = ModelReplica(settings, FAST, CATALOGUE, records)
    return records


@EACH_API
@EACH_METHOD
async def test_a_call_is_recorded_as_it_leaves_and_with_the_vendors_usage_at_its_end(
    api: str, method: str, bench: Bench
) -> None:
    await bench.send(method, REQUESTS[api])
    ended, (seen,) = bench.pair(), bench.emulator.journal
    assert not ended.estimated and seen.stream
    assert ended.cost_nanousd == price_of(seen.model).cost_nanousd(charged(seen), seen.service_tier)


@EACH_API
@EACH_METHOD
@pytest.mark.parametrize("chunks", [0, 1, 2, 3])
@pytest.mark.parametrize("broken", BREAKS)
async def test_an_answer_that_breaks_is_billed_within_a_tenth_of_what_the_vendor_charges(
    broken: str, chunks: int, method: str, api: str, bench: Bench
) -> None:
    request = REQUESTS[api]
    await bench.record_good_answer(request)
    bench.emulator.plan(BREAKS[broken](chunks))
    with pytest.raises(ProviderError) as failed:
        await bench.send(method, request)
    ended, seen = bench.pair(), bench.emulator.journal[-1]
    if (broken, chunks) == ("overload", 0):
        # The vendor has reported nothing before its error, and charges nothing for one.
        assert (ended.cost_nanousd, ended.estimated, failed.value.spent) == (0, False, Usage())
        return
    assert ended.estimated and is_near(ended.cost_nanousd, request.model, charged(seen)), (ended, seen)
    assert failed.value.spent == ended.usage


@EACH_API
@EACH_METHOD
async def test_a_caller_who_leaves_is_billed_for_the_tokens_generated_until_then(
    api: str, method: str, bench: Bench
) -> None:
    request = REQUESTS[api]
    await bench.record_good_answer(request)
    bench.emulator.plan(Fault(stall_after_chunks=2, stall_s=9.0))
    call = asyncio.create_task(bench.send(method, request))
    await wait_until(lambda: len(bench.emulator.journal) == 2 and bench.emulator.journal[-1].sent_tokens > 1)
    # The pieces that the vendor has sent are still on their way.
    await asyncio.sleep(0.05)
    call.cancel()
    await asyncio.wait({call})
    await wait_until(lambda: bench.emulator.journal[-1].ended_at_s is not None)
    ended, told = bench.pair(), charged(bench.emulator.journal[-1])
    # The vendor stalls here: the text of at most one second is taken to have been under way.
    under_way = ended.usage.output_tokens - told.output_tokens
    assert ended.estimated and -1 <= under_way <= MOST_UNDER_WAY_S * UsageMeans().bytes_per_s / 3
    written = replace(told, output_tokens=ended.usage.output_tokens)
    assert is_near(ended.cost_nanousd, request.model, written), (ended, told)


@EACH_METHOD
@pytest.mark.parametrize("api", ["messages", "gemini"])
async def test_the_cached_part_of_a_cut_answer_is_never_billed_at_the_full_price(
    api: str, method: str, bench: Bench
) -> None:
    request = REQUESTS[api]
    await bench.record_good_answer(request)
    bench.emulator.plan(Fault(cut_after_chunks=2, extras=Extras(cached_tokens=9_000)))
    with pytest.raises(ProviderError):
        await bench.send(method, request)
    ended, seen = bench.pair(), bench.emulator.journal[-1]
    assert (ended.usage.input_tokens, ended.usage.cached_input_tokens) == (seen.prompt_tokens, 9_000)
    assert is_near(ended.cost_nanousd, request.model, charged(seen))


async def test_a_request_that_never_left_is_recorded_as_free(bench: Bench) -> None:
    system_alone = replace(chat(FLASH), messages=(Message(role="system", content=("Say hello.",)),))
    with pytest.raises(ProviderRefused) as refused:
        await bench.send("stream", system_alone)
    (ended,) = bench.added
    assert (ended.ended, ended.cost_nanousd, ended.estimated) == (True, 0, False)
    assert refused.value.spent == Usage() and len(bench.emulator.journal) == 0


async def test_a_vendor_that_cannot_be_reached_costs_nothing() -> None:
    async with Emulator().running() as emulator:
        bench = bench_of(emulator, vendors(emulator, gemini=CLOSED_PORT_URL))
        with pytest.raises(ProviderUnconnected):
            await bench.send("answer", chat(FLASH))
        assert [(record.cost_nanousd, record.estimated) for record in bench.added] == [(0, False)]
        await bench.replica.aclose()


async def test_an_embedding_is_recorded_too_and_a_request_without_an_event_is_not(bench: Bench) -> None:
    request = EmbedRequest(model="voyage-3.5", inputs=(QUESTION,), event_id=EVENT, tenant_id=TENANT)
    await bench.replica.embed(request)
    ended, (seen,) = bench.pair(), bench.emulator.journal
    assert not ended.estimated and ended.usage == Usage(input_tokens=seen.prompt_tokens)
    await bench.replica.embed(replace(request, event_id=""))
    assert len(bench.added) == 2
