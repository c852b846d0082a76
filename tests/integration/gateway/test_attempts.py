"""Attempts follow one another: fallback, the bill of each attempt, and the cost of a cancelled request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest

from cluster.lab.emulator import Emulator, Fault
from deployments.api.access.room_tokens import RoomToken, issue_token
from deployments.api.chat.schemas import ChatRequest
from deployments.common.settings import ServiceSettings, SimulationSettings, TierSeconds, VendorSettings
from deployments.gateway.models import RoutedAnswer
from deployments.gateway.service import Gateway
from deployments.model_replica import ModelReplica
from routing.billing.usage_means import UsageMeans
from routing.catalogue import load_catalogue
from routing.errors import (
    Overloaded,
    ProviderAuth,
    ProviderOverloaded,
    ProviderQuota,
    ProviderRefused,
    ProviderTimeout,
    ProviderTruncated,
    ReplicaLost,
)
from routing.models import Answer, Delta, ModelRequest, Tier, Usage
from routing.retry import RetrySettings
from routing.rooms import parse_room
from tests.support.gateway import FAST, SIMULATED, InProcessCluster, chat, chat_stream, gateway_in_process

LUNA, FLASH, SOL = "gpt-6-luna", "gemini-3.5-flash-lite", "gpt-6.1-sol"
HELLO = ChatRequest.model_validate({"model": "simple", "messages": [{"role": "user", "content": "Hello"}]})
Steps = list[Exception | str]
LLM = ServiceSettings(
    simple=(LUNA, FLASH),
    complex=(SOL,),
    attempt_timeout_s=2,
    first_token_timeout_s=TierSeconds(simple=0.2),
    total_timeout_s=5,
)
ONCE, TWICE = RetrySettings(tries_of_target=1), RetrySettings(tries_of_target=2, first_wait_s=0.01)


@pytest.fixture
def token() -> RoomToken:
    return issue_token(parse_room("tenant_acme_standup"), "job-1", 900, 0.0)


class Scripted(ModelReplica):
    """A model replica that follows its script, call by call: it answers, raises, or never ends."""

    def __init__(self, steps: Steps) -> None:
        super().__init__(SIMULATED, FAST, load_catalogue())
        self.steps = steps
        self.called_models: list[str] = []
        self.closed = 0

    async def answer(self, request: ModelRequest) -> Answer:
        deltas = [delta async for delta in self.stream(request)]
        text = "".join(delta.text for delta in deltas)
        return Answer(text=text, model=request.model, finish="stop", usage=deltas[-1].usage, simulated=True)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        self.called_models.append(request.model)
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        try:
            for word in step.replace("!", " ").split():
                yield Delta(text=word + " ")
            if "!" in step:
                await asyncio.sleep(3_600)
            if step == "cut":
                raise ProviderTruncated()
        finally:
            self.closed += 1
        yield Delta(finish="stop", usage=None if step == "no usage" else Usage(input_tokens=10, output_tokens=2))


class ScriptedGateway:
    """A gateway over a script, and its journal."""

    def __init__(self, gateway: Gateway, cluster: InProcessCluster, leaf: Scripted) -> None:
        self.gateway, self.cluster, self.leaf = gateway, cluster, leaf

    async def bill(self) -> list[tuple[object, object, object]]:
        """Return each attempt's outcome, cost and whether it is an estimate; None for an attempt that has not ended."""
        return [(row["outcome"], row.get("cost_nanousd"), row.get("estimated")) for row in await self.cluster.events()]


@pytest.fixture
async def scripted(tmp_path: Path) -> AsyncIterator[ScriptedGateway]:
    """A gateway that tries each model once."""
    leaf = Scripted([])
    async with gateway_in_process(tmp_path, leaf=leaf, llm=LLM, retries=ONCE) as (gateway, cluster):
        yield ScriptedGateway(gateway, cluster, leaf)


@pytest.fixture
async def retrying(tmp_path: Path) -> AsyncIterator[ScriptedGateway]:
    """A gateway that tries a model twice before it goes on to the next."""
    leaf = Scripted([])
    async with gateway_in_process(tmp_path, leaf=leaf, llm=LLM, retries=TWICE) as (gateway, cluster):
        yield ScriptedGateway(gateway, cluster, leaf)


async def stream_pieces(scripted: ScriptedGateway, token: RoomToken) -> list[Delta | RoutedAnswer]:
    pieces = await chat_stream(scripted.gateway, token, HELLO)
    return [piece async for piece in pieces]


async def test_an_answer_costs_what_its_usage_costs(scripted: ScriptedGateway, token: RoomToken) -> None:
    scripted.leaf.steps = ["hello you"]
    answered = await chat(scripted.gateway, token, HELLO)
    assert (answered.attempts, answered.cost_nanousd, answered.decision.targets) == (1, 2_000, (LUNA, FLASH))
    assert await scripted.bill() == [("ok", 2_000, 0)]


@pytest.mark.parametrize("error", [ProviderOverloaded(), ProviderTimeout(), ProviderAuth(), ProviderTruncated()])
async def test_a_failed_attempt_falls_back_and_is_billed_if_the_vendor_may_have_charged(
    scripted: ScriptedGateway, token: RoomToken, error: ProviderOverloaded
) -> None:
    scripted.leaf.steps = [error, "hello"]
    answered = await chat(scripted.gateway, token, HELLO)
    failed, succeeded = await scripted.bill()
    assert scripted.leaf.called_models == [LUNA, FLASH] and answered.attempts == 2
    assert failed[0] == "error" and (failed[1] != 0) == (failed[2] == 1) == error.billable
    assert answered.cost_nanousd == int(str(failed[1])) + int(str(succeeded[1]))


async def test_when_every_target_failed_the_last_error_is_raised(scripted: ScriptedGateway, token: RoomToken) -> None:
    scripted.leaf.steps = [ProviderOverloaded(), ProviderTimeout()]
    with pytest.raises(ProviderTimeout):
        await chat(scripted.gateway, token, HELLO)
    assert len(await scripted.bill()) == 2


async def test_a_lost_replica_is_called_again_once_and_both_attempts_are_billed(
    retrying: ScriptedGateway, token: RoomToken
) -> None:
    retrying.leaf.steps = [ReplicaLost(), "hello"]
    await chat(retrying.gateway, token, HELLO)
    lost, answered = await retrying.bill()
    assert retrying.leaf.called_models == [LUNA, LUNA]
    assert lost[0] == "error" and lost[2] == 1 and lost[1] and answered == ("ok", 2_000, 0)


async def test_a_failing_target_is_called_again_before_the_next_one(
    retrying: ScriptedGateway, token: RoomToken
) -> None:
    retrying.leaf.steps = [ProviderOverloaded(), ProviderOverloaded(), "hello"]
    answered = await chat(retrying.gateway, token, HELLO)
    assert retrying.leaf.called_models == [LUNA, LUNA, FLASH] and answered.attempts == 3


@pytest.mark.parametrize("error", [ProviderQuota(), ProviderAuth(), ProviderRefused(vendor_status=404)])
async def test_a_permanent_error_is_not_retried(
    retrying: ScriptedGateway, token: RoomToken, error: ProviderQuota
) -> None:
    retrying.leaf.steps = [error, "hello"]
    await chat(retrying.gateway, token, HELLO)
    assert retrying.leaf.called_models == [LUNA, FLASH]


async def test_a_target_that_keeps_failing_gets_no_request_while_its_breaker_is_open(
    scripted: ScriptedGateway, token: RoomToken
) -> None:
    for _ in range(5):
        scripted.leaf.steps += [ProviderOverloaded(), "hello"]
    scripted.leaf.steps.append("hello")
    for _ in range(6):
        await chat(scripted.gateway, token, HELLO)
    assert scripted.leaf.called_models == [LUNA, FLASH] * 5 + [FLASH]


async def test_when_every_breaker_is_open_the_caller_gets_retry_after_and_nothing_is_billed(
    scripted: ScriptedGateway, token: RoomToken
) -> None:
    scripted.leaf.steps = [ProviderOverloaded() for _ in range(10)]
    for _ in range(5):
        with pytest.raises(ProviderOverloaded):
            await chat(scripted.gateway, token, HELLO)
    billed = len(await scripted.bill())
    with pytest.raises(ProviderOverloaded) as refused:
        await chat(scripted.gateway, token, HELLO)
    assert 0 < (refused.value.retry_after_s or 0) <= 6 and refused.value.status == 503
    assert len(scripted.leaf.called_models) == len(await scripted.bill()) == billed == 10


AUTO = ChatRequest.model_validate({"messages": [{"role": "user", "content": "What is on it?"}]})


@pytest.mark.parametrize("weak", ["...", "I cannot read the text in this image."])
async def test_an_answer_that_shows_the_cheap_model_failed_is_given_by_the_strong_one_and_both_are_billed(
    scripted: ScriptedGateway, token: RoomToken, weak: str
) -> None:
    scripted.leaf.steps = [weak, "Quarterly figures."]
    answered = await chat(scripted.gateway, token, AUTO)
    costs = [int(str(cost)) for _, cost, _ in await scripted.bill()]
    assert scripted.leaf.called_models == [LUNA, SOL] and answered.answer.text == "Quarterly figures. "
    assert answered.decision.tier is Tier.COMPLEX and answered.decision.reasons[-1].startswith("escalated: ")
    assert answered.cost_nanousd == sum(costs) and answered.attempts == len(costs) == 2


async def test_a_strong_model_that_fails_leaves_the_weak_answer_and_its_own_bill(
    scripted: ScriptedGateway, token: RoomToken
) -> None:
    scripted.leaf.steps = ["...", ProviderTimeout()]
    answered = await chat(scripted.gateway, token, AUTO)
    assert answered.answer.text == "... " and answered.decision.reasons[-1] == "kept: provider_timeout"
    assert answered.cost_nanousd == sum(int(str(cost)) for _, cost, _ in await scripted.bill())


async def test_a_request_for_the_simple_tier_is_not_escalated(scripted: ScriptedGateway, token: RoomToken) -> None:
    scripted.leaf.steps = ["..."]
    answered = await chat(scripted.gateway, token, HELLO)
    assert answered.answer.text == "... " and scripted.leaf.called_models == [LUNA]


async def test_a_full_queue_is_refused_at_once_and_costs_nothing(scripted: ScriptedGateway, token: RoomToken) -> None:
    scripted.leaf.steps = [Overloaded(retry_after_s=1.0)]
    with pytest.raises(Overloaded):
        await chat(scripted.gateway, token, HELLO)
    assert await scripted.bill() == [("error", 0, 0)]


@pytest.mark.parametrize("streamed", [True, False])
async def test_usage_the_vendor_did_not_report_is_estimated_and_never_zero(
    scripted: ScriptedGateway, token: RoomToken, streamed: bool
) -> None:
    scripted.leaf.steps = ["no usage"]
    await (stream_pieces(scripted, token) if streamed else chat(scripted.gateway, token, HELLO))
    ((outcome, cost, estimated),) = await scripted.bill()
    assert outcome == "ok" and cost and estimated == 1


async def test_a_stream_is_durable_before_its_last_piece_leaves(scripted: ScriptedGateway, token: RoomToken) -> None:
    scripted.leaf.steps = ["hello you"]
    pieces = await chat_stream(scripted.gateway, token, HELLO)
    async for piece in pieces:
        settled = [outcome for outcome, _, _ in await scripted.bill()]
        assert settled == (["ok"] if isinstance(piece, RoutedAnswer) else [None])


async def test_a_stream_falls_back_before_its_first_piece_and_never_after(
    scripted: ScriptedGateway, token: RoomToken
) -> None:
    scripted.leaf.steps = [ProviderOverloaded(), "hello"]
    assert isinstance((await stream_pieces(scripted, token))[-1], RoutedAnswer)
    scripted.leaf.steps = ["cut", "hello"]
    with pytest.raises(ProviderTruncated):
        await stream_pieces(scripted, token)
    assert scripted.leaf.steps == ["hello"]
    assert (await scripted.bill())[-1][0] == "error" and (await scripted.bill())[-1][1]


async def test_a_first_piece_that_does_not_come_in_time_falls_back(scripted: ScriptedGateway, token: RoomToken) -> None:
    scripted.leaf.steps = ["!", "hello"]
    answered = (await stream_pieces(scripted, token))[-1]
    assert isinstance(answered, RoutedAnswer) and answered.attempts == 2
    assert scripted.leaf.called_models == [LUNA, FLASH] and scripted.leaf.closed == 2


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_caller_who_leaves_ends_the_attempt_and_is_billed_an_estimate(
    scripted: ScriptedGateway, token: RoomToken, streamed: bool
) -> None:
    scripted.leaf.steps = ["one two three!"] if streamed else ["!"]
    call = asyncio.create_task(stream_pieces(scripted, token) if streamed else chat(scripted.gateway, token, HELLO))
    await asyncio.sleep(0.1)
    call.cancel()
    await asyncio.wait({call})
    ((outcome, cost, estimated),) = await scripted.bill()
    assert call.cancelled() and scripted.leaf.closed == 1
    assert outcome == "cancelled" and cost and estimated == 1


async def test_a_stream_cancelled_before_its_first_token_costs_its_input_alone(
    scripted: ScriptedGateway, token: RoomToken
) -> None:
    scripted.leaf.steps = ["!", "!"]
    for pending in (stream_pieces(scripted, token), chat(scripted.gateway, token, HELLO)):
        call = asyncio.create_task(pending)
        await asyncio.sleep(0.1)
        call.cancel()
        await asyncio.wait({call})
    (_, streamed, estimated), (_, whole, _) = await scripted.bill()
    (luna,) = [row for row in load_catalogue().prices.rows if row.model == LUNA]
    answer = luna.cost_nanousd(Usage(output_tokens=round(UsageMeans().visible_tokens)))
    assert streamed and int(str(whole)) - int(str(streamed)) == answer and estimated == 1


async def test_a_real_vendor_is_billed_to_the_unit_it_counted(tmp_path: Path, token: RoomToken) -> None:
    async with Emulator().running() as emulator:
        openai = VendorSettings(api="openai", base_url=f"{emulator.url}/openai/v1")
        vendors = {**SIMULATED, "openai": openai}
        price = load_catalogue().prices.rows
        (luna,) = [row for row in price if row.model == LUNA]
        async with gateway_in_process(tmp_path, vendors=vendors, retries=ONCE) as (gateway, cluster):
            answered = await chat(gateway, token, HELLO)
            pieces = await chat_stream(gateway, token, HELLO)
            streamed = [piece async for piece in pieces][-1]
            emulator.faults.append(Fault(status=503))
            fallen = await chat(gateway, token, HELLO)
            events = await cluster.events()
        expected = [
            luna.cost_nanousd(Usage(input_tokens=seen.prompt_tokens, output_tokens=seen.completion_tokens))
            for seen in emulator.journal
        ]
    assert [row["cost_nanousd"] for row in events if row["vendor"] == "openai"] == expected
    assert answered.answer.model == LUNA and not answered.answer.simulated
    assert isinstance(streamed, RoutedAnswer) and streamed.cost_nanousd == expected[1] and expected[2] == 0
    assert fallen.answer.simulated and [row["simulated"] for row in events] == [0, 0, 0, 1]


async def test_a_simulated_failure_falls_back_too(tmp_path: Path, token: RoomToken) -> None:
    failing = SimulationSettings(seed=7, speed=10_000, failures={LUNA: 1.0})
    async with gateway_in_process(tmp_path, simulation=failing, retries=ONCE) as (gateway, _):
        answered = await chat(gateway, token, HELLO)
    assert answered.answer.model == f"simulated/{FLASH}" and answered.attempts == 2
