"""However an attempt ends, its vendor call is closed, its cost is settled once, and no task of it remains."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from deployments.common.settings import SimulationSettings
from deployments.common.streaming import coalesce
from deployments.gateway import attempts
from deployments.gateway.failover import Failover
from deployments.gateway.metering import BillingContext, Meter
from deployments.gateway.models import AttemptTimeouts, RoutedAnswer, RoutedRequest
from deployments.model_replica import ModelReplica
from deployments.providers.simulated import SimulatedProvider
from routing.breaker import Breakers, BreakerSettings
from routing.catalogue import load_catalogue
from routing.chat import Image, Message
from routing.errors import (
    BudgetExceeded,
    CostsUnavailable,
    Overloaded,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderTruncated,
    RayroomError,
)
from routing.estimates import estimate_embedding, text_tokens
from routing.models import (
    Answer,
    Delta,
    EmbeddingResult,
    EmbedRequest,
    Intent,
    ModelRequest,
    Settlement,
    Tenant,
    TenantTotals,
    Tier,
    Usage,
)
from routing.policy import Decision
from routing.retry import RetrySettings
from tests.support.gateway import SIMULATED, TENANTS, jpeg

CATALOGUE = load_catalogue()
LUNA, FLASH, SOL, MIXED = "gpt-6-luna", "gemini-3.5-flash-lite", "gpt-6.1-sol", "voyage-multimodal-3.5"
ASKED = (Message(role="user", content=("What is on the screen?",)),)
TOLD = Usage(input_tokens=10, output_tokens=2)
TIMEOUTS = AttemptTimeouts(attempt_s=5.0, first_token_s=5.0, between_tokens_s=5.0, total_s=5.0)
Plan = tuple[str | float | Exception | Usage | None, ...]
"""The steps of a vendor: words, waits and a failure; a usage, or None where none is reported, ends the answer."""


@dataclass
class Book:
    """Costs in memory. As in the outbox of a replica, a settlement is posted before it is awaited."""

    reserve_s: float = 0.0
    refusals: list[RayroomError | None] = field(default_factory=list)
    intents: dict[str, Intent] = field(default_factory=dict)
    settled: list[Settlement] = field(default_factory=list)

    async def reserve(self, intent: Intent) -> int:
        await asyncio.sleep(self.reserve_s)
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            raise refusal
        self.intents[intent.event_id] = intent
        return 0

    async def settle(self, settlement: Settlement) -> None:
        self.settled.append(settlement)
        await asyncio.sleep(0)

    async def record(self, entries: Sequence[Intent | Settlement]) -> int:
        raise NotImplementedError

    async def totals(self, tenant_id: str) -> TenantTotals:
        raise NotImplementedError

    def lines(self) -> list[tuple[str, int, bool]]:
        """Return each attempt's model, cost and whether that is an estimate; every intent is settled once."""
        assert sorted(settlement.event_id for settlement in self.settled) == sorted(self.intents)
        return [(self.intents[s.event_id].model, s.cost_nanousd, s.estimated) for s in self.settled]


@dataclass
class Vendors:
    """Models that follow their plans, and count the streams that are still open."""

    plans: dict[str, list[Plan]]
    asks: list[ModelRequest | EmbedRequest] = field(default_factory=list)
    open: int = 0

    @property
    def asked(self) -> list[str]:
        return [ask.model for ask in self.asks]

    async def answer(self, ask: ModelRequest) -> Answer:
        deltas = [delta async for delta in self.stream(ask)]
        text = "".join(delta.text for delta in deltas)
        return Answer(text=text, model=ask.model, finish="stop", usage=deltas[-1].usage)

    async def stream(self, ask: ModelRequest) -> AsyncGenerator[Delta, None]:
        self.asks.append(ask)
        self.open += 1
        try:
            for step in self.plans[ask.model].pop(0):
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, str):
                    yield Delta(text=step)
                elif isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    yield Delta(finish="stop", usage=step)
        finally:
            self.open -= 1

    async def embed(self, ask: EmbedRequest) -> EmbeddingResult:
        self.asks.append(ask)
        return EmbeddingResult(vectors=((1.0,) * 1_024,), model=ask.model, usage=None)


@dataclass
class Desk:
    """The attempts of one replica over costs and vendors of its own."""

    vendors: Vendors
    book: Book = field(default_factory=Book)
    retries: RetrySettings = field(default_factory=lambda: RetrySettings(first_wait_s=1e-6))
    breakers: BreakerSettings = field(default_factory=BreakerSettings)
    failover: Failover = field(init=False)

    def __post_init__(self) -> None:
        rng = random.Random(7)
        meter = Meter(self.book, CATALOGUE, frozenset(), 60.0, time.time)
        self.failover = Failover(CATALOGUE, meter, self.retries, Breakers(rng, self.breakers), rng, time.monotonic)

    async def answer(self, request: RoutedRequest) -> RoutedAnswer:
        return await attempts.answer(self.failover, self.vendors, request)

    async def streamed(self, request: RoutedRequest) -> list[Delta | RoutedAnswer]:
        return [piece async for piece in attempts.stream(self.failover, self.vendors, request)]

    async def embed(self, request: RoutedRequest) -> tuple[EmbeddingResult, int]:
        return await attempts.embed(self.failover, self.vendors, request)


def order(*targets: str, stronger: tuple[str, ...] = (), timeouts: AttemptTimeouts = TIMEOUTS) -> RoutedRequest:
    tenant: Tenant = TENANTS[0]
    return RoutedRequest(
        billing=BillingContext(tenant=tenant, room="tenant_acme_standup", service="llm"),
        decision=Decision(
            tier=Tier.SIMPLE, targets=targets, score=0.1, threshold=0.5, reasons=("short",), stronger=stronger
        ),
        messages=ASKED,
        max_output_tokens=64,
        timeouts=timeouts,
    )


def cost(model: str, usage: Usage) -> int:
    (price,) = [row for row in CATALOGUE.prices.rows if row.model == model]
    return price.cost_nanousd(usage)


@pytest.fixture(autouse=True)
async def swept() -> None:
    """Let the tasks of earlier tests end first: an SDK's client that is collected closes itself in the running loop."""
    gc.collect()
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others, timeout=5)


@contextmanager
def no_unretrieved_error() -> Iterator[None]:
    """Fail where an error was never retrieved, and reached the loop's exception handler."""
    said: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: said.append(context))
    yield
    gc.collect()
    loop.set_exception_handler(None)
    assert said == []


def nothing_remains(desk: Desk) -> bool:
    """Return whether every stream is closed; also check that no task is left and each intent is settled once."""
    desk.book.lines()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert left == set(), left
    return desk.vendors.open == 0


def whole(desk: Desk) -> Awaitable[object]:
    return desk.answer(order(LUNA, FLASH, stronger=(SOL,)))


def streamed(desk: Desk) -> Awaitable[object]:
    return desk.streamed(order(LUNA, FLASH))


@pytest.mark.parametrize("ask", [whole, streamed])
async def test_a_caller_may_leave_at_any_moment(ask: Callable[[Desk], Awaitable[object]]) -> None:
    """Cancel one turn of the loop later each time, until the request ends before."""
    for turns in range(200):
        plans: dict[str, list[Plan]] = {
            LUNA: [(0.0, ProviderOverloaded()), (0.0, 0.0, "...", "", TOLD)] * 2,
            SOL: [("the", "figures", TOLD)],
        }
        desk = Desk(Vendors(plans))
        call = asyncio.ensure_future(ask(desk))
        for _ in range(turns):
            await asyncio.sleep(0)
        if call.done():
            break
        call.cancel()
        await asyncio.wait({call})
        for _ in range(20):
            await asyncio.sleep(0)
        assert call.cancelled() and nothing_remains(desk)
    assert 10 < turns < 199 and nothing_remains(desk)


async def test_a_probe_whose_caller_leaves_makes_room_for_another() -> None:
    brief = BreakerSettings(failures=1, open_s=0.01, jitter_share=0.0)
    once = RetrySettings(tries_of_target=1)
    desk = Desk(Vendors({LUNA: [(ProviderOverloaded(),), (9.0,), ("well", TOLD)]}), retries=once, breakers=brief)
    with pytest.raises(ProviderOverloaded):
        await desk.streamed(order(LUNA))
    await asyncio.sleep(0.02)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(desk.streamed(order(LUNA)), 0.05)
    assert isinstance((await desk.streamed(order(LUNA)))[-1], RoutedAnswer)


async def test_a_journal_that_takes_the_whole_time_leaves_none_to_ask_a_vendor_in() -> None:
    desk = Desk(Vendors({}), Book(reserve_s=0.3))
    with pytest.raises(CostsUnavailable):
        await desk.answer(order(LUNA, timeouts=replace(TIMEOUTS, total_s=0.4)))
    assert desk.vendors.asks == [] and desk.book.lines() == [(LUNA, 0, False)]


async def test_a_vendor_has_no_more_time_than_the_journal_left() -> None:
    desk = Desk(Vendors({LUNA: [("hello", TOLD)]}), Book(reserve_s=0.1))
    await desk.answer(order(LUNA, timeouts=replace(TIMEOUTS, total_s=0.5)))
    assert 0.2 < desk.vendors.asks[0].timeout_s <= 0.4


async def test_a_first_token_has_no_more_time_than_the_whole_request() -> None:
    desk, began_s = Desk(Vendors({LUNA: [(9.0,)]})), time.monotonic()
    with pytest.raises(ProviderTimeout):
        await desk.streamed(order(LUNA, timeouts=replace(TIMEOUTS, total_s=0.3)))
    assert time.monotonic() - began_s < 0.5 and nothing_remains(desk)


@pytest.mark.parametrize("refusal", [BudgetExceeded(), CostsUnavailable(), Overloaded()])
async def test_a_strong_model_that_may_not_be_asked_leaves_the_weak_answer(refusal: RayroomError) -> None:
    desk = Desk(Vendors({LUNA: [("...", TOLD)]}), Book(refusals=[None, refusal]))
    answered = await desk.answer(order(LUNA, stronger=(SOL,)))
    assert answered.answer.text == "..." and answered.decision.tier is Tier.SIMPLE
    assert answered.decision.reasons == ("short", "escalated: empty", f"kept: {refusal.code}")
    assert answered.cost_nanousd == cost(LUNA, TOLD) and desk.vendors.asked == [LUNA]


@pytest.mark.parametrize("words", [10, 200])
async def test_a_whole_answer_without_usage_is_billed_by_its_text_and_by_no_more_than_was_asked_for(words: int) -> None:
    text = "word " * words
    desk = Desk(Vendors({LUNA: [(text, None)]}))
    await desk.answer(order(LUNA))
    tokens = min(64, text_tokens([Message(role="assistant", content=(text,))]))
    usage = Usage(input_tokens=text_tokens(ASKED), output_tokens=tokens)
    assert desk.book.lines() == [(LUNA, cost(LUNA, usage), True)]


async def test_vectors_without_usage_are_billed_by_the_text_and_the_pixels_that_were_sent() -> None:
    desk = Desk(Vendors({}))
    asked = replace(
        order(MIXED),
        messages=(
            Message(
                role="user",
                content=("a chart", Image(data=jpeg())),
            ),
        ),
    )
    _, cost_nanousd = await desk.embed(asked)
    expected = cost(MIXED, estimate_embedding(EmbedRequest(model=MIXED, inputs=asked.messages)))
    assert desk.book.lines() == [(MIXED, expected, True)] and cost_nanousd == expected > 300_000


async def test_a_unit_that_has_no_price_is_billed_at_what_was_set_aside_and_loses_no_answer() -> None:
    desk = Desk(Vendors({LUNA: [("hello", Usage(input_tokens=9, audio_ms=700))]}))
    answered = await desk.answer(order(LUNA))
    reserved = Usage(input_tokens=text_tokens(ASKED), output_tokens=64)
    assert answered.answer.text == "hello" and desk.book.lines() == [(LUNA, cost(LUNA, reserved), True)]


async def test_an_attempt_that_ends_in_a_bug_of_ours_is_not_free() -> None:
    desk = Desk(Vendors({LUNA: [(KeyError("no such row"),)]}))
    with pytest.raises(KeyError):
        await desk.answer(order(LUNA))
    reserved = Usage(input_tokens=text_tokens(ASKED), output_tokens=64)
    assert desk.book.lines() == [(LUNA, cost(LUNA, reserved), True)]


async def test_what_came_before_a_stream_failed_is_heard() -> None:
    vendors, heard = Vendors({LUNA: [("a", "b", "c", ProviderTruncated())]}), []
    with pytest.raises(ProviderTruncated):
        async for delta in coalesce(vendors.stream(ModelRequest(model=LUNA)), window_s=9.0):
            heard.append(delta.text)
    assert "".join(heard) == "abc"


async def test_a_vendor_that_fails_while_it_is_let_go_troubles_nobody() -> None:
    async def stubborn() -> AsyncGenerator[Delta, None]:
        yield Delta(text="a")
        try:
            await asyncio.sleep(9.0)
        finally:
            raise ProviderTruncated()

    deltas = coalesce(stubborn())
    with no_unretrieved_error():
        await anext(deltas)
        await asyncio.sleep(0)
        await deltas.aclose()


async def test_a_leaf_whose_stream_is_closed_has_closed_its_vendors() -> None:
    leaf = ModelReplica(SIMULATED, SimulationSettings(speed=50), CATALOGUE)
    deltas = leaf.stream(ModelRequest(model=LUNA, messages=ASKED))
    await anext(deltas)
    await deltas.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await leaf.aclose()


async def test_a_simulated_stream_ends_with_its_time_though_each_piece_has_a_task_of_its_own() -> None:
    vendor = SimulatedProvider(SimulationSettings(speed=1_000))
    deltas = vendor.stream(CATALOGUE.get(LUNA), ModelRequest(model=LUNA, messages=ASKED, timeout_s=0.1))
    assert (await asyncio.create_task(anext(deltas))).text
    await asyncio.sleep(0.15)
    with pytest.raises(ProviderTimeout):
        await asyncio.create_task(anext(deltas))
