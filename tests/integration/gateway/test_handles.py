"""The model deployments behind real Serve handles, in this process: answered, abandoned and cancelled calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from ray import serve
from ray.exceptions import ActorDiedError
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from deployments.embeddings import Embeddings
from deployments.handles import SEEN_S, ModelHandle, ReplicaCheck, as_rayroom_error, stream_within, within
from deployments.llm import Llm
from deployments.vision import Vision
from routing.catalogue import load_catalogue
from routing.chat import Message
from routing.errors import Overloaded, ProviderError, ProviderRefused, ProviderTimeout, ReplicaLost
from routing.models import Delta, EmbedRequest, ModelRequest
from tests.support.gateway import FAST, SIMULATED

BOUND = (SIMULATED, FAST, load_catalogue())
HELLO = (Message(role="user", content=("Hello",)),)
REQUEST = ModelRequest(model="gpt-6-luna", messages=HELLO)


class Stuck:
    """Answers with what became of its earlier calls; `wait` and `drip` never end by themselves."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.there = asyncio.Event()

    async def ready(self) -> None:
        await self.there.wait()

    async def come(self) -> None:
        self.there.set()

    async def go(self) -> None:
        self.there.clear()

    async def wait(self) -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            self.ended.append("wait")

    async def drip(self) -> AsyncGenerator[Delta, None]:
        try:
            while True:
                yield Delta(text="drop ")
                await asyncio.sleep(0.01)
        finally:
            self.ended.append("drip")

    async def refuse(self) -> None:
        raise ProviderRefused("no")

    async def fail(self) -> None:
        raise KeyError("a bug")

    async def what_ended(self) -> list[str]:
        return self.ended


@pytest.fixture
def stuck() -> DeploymentHandle[Any]:
    return serve.run(serve.deployment()(Stuck).bind(), name="stuck", _local_testing_mode=True)


@pytest.fixture(params=["vision", "llm"])
def leaf(request: pytest.FixtureRequest) -> ModelHandle:
    deployment = {"vision": Vision, "llm": Llm}[request.param]
    return ModelHandle(serve.run(deployment.bind(*BOUND), name=request.param, _local_testing_mode=True))


@pytest.fixture
def embeddings() -> Iterator[ModelHandle]:
    yield ModelHandle(serve.run(Embeddings.bind(*BOUND), name="embeddings", _local_testing_mode=True))


async def test_a_deployment_answers_over_its_handle(leaf: ModelHandle) -> None:
    answer = await leaf.answer(REQUEST)
    assert answer.model == "simulated/gpt-6-luna" and answer.usage is not None and answer.finish == "stop"


async def test_a_deployment_streams_over_its_handle() -> None:
    leaf = ModelHandle(serve.run(Llm.bind(*BOUND), name="streams", _local_testing_mode=True))
    deltas = [delta async for delta in leaf.stream(REQUEST)]
    whole = await leaf.answer(REQUEST)
    assert "".join(delta.text for delta in deltas) == whole.text and deltas[-1].usage == whole.usage


async def test_a_deployment_embeds_over_its_handle(embeddings: ModelHandle) -> None:
    vectors = (await embeddings.embed(EmbedRequest(model="voyage-multimodal-3.5", inputs=HELLO))).vectors
    assert len(vectors) == 1 and len(vectors[0]) == 1_024


@pytest.mark.parametrize("scaled_to_zero", [frozenset[str](), frozenset({"stuck"})])
async def test_a_lost_deployment_is_no_longer_ready_unless_it_may_scale_to_zero(
    stuck: DeploymentHandle[Any], scaled_to_zero: frozenset[str]
) -> None:
    now_s = 0.0
    llm = serve.run(Llm.bind(*BOUND), name="ready", _local_testing_mode=True)
    handles = {"llm": ModelHandle(llm, lambda: now_s), "stuck": ModelHandle(stuck, lambda: now_s)}
    ready = ReplicaCheck(handles, scaled_to_zero)
    with pytest.raises(Overloaded, match="stuck deployment has no replica"):
        await ready()
    await stuck.come.remote()
    await ready()
    await stuck.go.remote()
    # An answer proves the replica for some seconds.
    now_s = SEEN_S - 0.1
    await ready()
    now_s = SEEN_S + 0.1
    if scaled_to_zero:
        await ready()
    else:
        with pytest.raises(Overloaded, match="stuck deployment has no replica"):
            await ready()


async def test_an_error_that_a_replica_raised_proves_it_and_a_timeout_of_the_handle_does_not(
    stuck: DeploymentHandle[Any],
) -> None:
    proofs: list[str] = []
    for name, call in (("refuse", stuck.refuse), ("fail", stuck.fail), ("wait", stuck.wait)):
        with pytest.raises(ProviderError):
            await within(call.remote(), 0.2, lambda name=name: proofs.append(name))  # type: ignore[misc]
    assert proofs[0] == "refuse" and "wait" not in proofs


async def test_an_answer_or_the_first_piece_of_a_stream_proves_a_replica() -> None:
    now_s = 7.0
    leaf = ModelHandle(serve.run(Llm.bind(*BOUND), name="proves", _local_testing_mode=True), lambda: now_s)
    assert leaf.answered_at_s is None
    await leaf.answer(REQUEST)
    assert leaf.answered_at_s == 7.0
    now_s = 9.0
    async with aclosing(leaf.stream(REQUEST)) as deltas:
        await anext(deltas)
    assert leaf.answered_at_s == 9.0


async def test_a_call_that_is_given_up_is_cancelled_where_it_runs(stuck: DeploymentHandle[Any]) -> None:
    with pytest.raises(ProviderTimeout):
        await within(stuck.wait.remote(), 0.05)
    waiting = asyncio.create_task(within(stuck.wait.remote(), 60))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.wait({waiting})
    await asyncio.sleep(0.05)
    assert waiting.cancelled() and await stuck.what_ended.remote() == ["wait", "wait"]


async def test_a_stream_is_cancelled_at_its_deadline_and_when_its_reader_leaves(stuck: DeploymentHandle[Any]) -> None:
    streaming = stuck.options(stream=True)
    with pytest.raises(ProviderTimeout):
        async with aclosing(stream_within(streaming.drip.remote(), 0.05)) as deltas:
            received = [delta async for delta in deltas]
            assert received
    async with aclosing(stream_within(streaming.drip.remote(), 60)) as deltas:
        assert (await anext(deltas)).text == "drop "
    await asyncio.sleep(0.05)
    assert await stuck.what_ended.remote() == ["drip", "drip"]


async def test_a_replicas_rayroom_error_is_raised_as_it_is_and_any_other_is_its_failure(
    stuck: DeploymentHandle[Any],
) -> None:
    with pytest.raises(ProviderRefused, match="no"):
        await within(stuck.refuse.remote(), 5)
    with pytest.raises(ProviderError, match="KeyError") as failed:
        await within(stuck.fail.remote(), 5)
    assert "a bug" not in str(failed.value)


def test_rays_own_errors_become_overload_or_a_lost_replica() -> None:
    assert isinstance(as_rayroom_error(BackPressureError(num_queued_requests=9, max_queued_requests=8)), Overloaded)
    assert isinstance(as_rayroom_error(ActorDiedError()), ReplicaLost)
