"""The router of a running app from its clients' side: streams, disconnects and vendor faults."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import random
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import aiohttp
import openai
import pytest
from livekit.agents import llm
from livekit.plugins import openai as livekit_openai

from cluster.lab.emulator import Emulator, Fault, LatencyModel, LoggedRequest
from cluster.lab.stack.backend_peer import install
from routing.catalogue import load_catalogue
from routing.models import Usage
from tests.support.callers import Reply, ask, steadily
from tests.support.stack import ROOT, Stack, System

# The emulator runs on the loop of the tests: one clock times the client's disconnect and the vendor's.
pytestmark = pytest.mark.asyncio(loop_scope="session")

QUESTION = "What does the chart on the third slide say about the spring quarter?"
NODE_CLIENT = ROOT / "tests" / "support" / "openai_client"


class Metronome(LatencyModel):
    """A model that always takes the same time."""

    def __init__(self, first_s: float = 0.0, token_s: float = 0.0) -> None:
        super().__init__(random.Random(7))
        self._first_s, self._token_s = first_s, token_s

    def first_token_s(self, model: str, slowdown: float = 1.0) -> float:
        return self._first_s

    def next_token_s(self, model: str, slowdown: float = 1.0) -> float:
        return self._token_s


@dataclass(frozen=True, slots=True)
class Live:
    """A running app with live vendors: an emulator at the other end of real sockets."""

    stack: Stack
    emulator: Emulator

    @property
    def url(self) -> str:
        return f"{self.stack.plan.router_url}/v1"

    def pace(self, first_s: float = 0.0, token_s: float = 0.0, answer_tokens: int = 24) -> None:
        state = self.emulator.state
        state.latency, state.answer_tokens = Metronome(first_s, token_s), answer_tokens

    def charged_nanousd(self) -> int:
        """Return the price of all vendor calls."""
        return sum(price_nanousd(seen) for seen in self.emulator.journal)

    async def seen(self, told: Callable[[LoggedRequest], object]) -> LoggedRequest:
        """Return the only vendor call, once `told` holds for it."""
        async with asyncio.timeout(60):
            while not any(told(seen) for seen in self.emulator.journal):
                await asyncio.sleep(0.005)
        (seen,) = self.emulator.journal
        return seen


def price_nanousd(seen: LoggedRequest) -> int:
    catalogue = load_catalogue()
    (row,) = [row for row in catalogue.models.values() if row.vendor_name == seen.model]
    price = catalogue.price(row.name, dt.datetime.now(dt.UTC).date())
    return price.cost_nanousd(Usage(input_tokens=seen.prompt_tokens, output_tokens=seen.completion_tokens))


@pytest.fixture
def live(system: System, monkeypatch: pytest.MonkeyPatch) -> Live:
    state = system.emulator.state
    monkeypatch.setattr(state, "latency", Metronome())
    monkeypatch.setattr(state, "answer_tokens", 24)
    state.faults.clear()
    state.journal.clear()
    return Live(system.stack, system.emulator)


@dataclass(frozen=True, slots=True)
class Said:
    """A streamed answer as its client parsed it."""

    text: str
    finish: str | None
    prompt_tokens: int
    completion_tokens: int


async def by_python(live: Live, token: str, model: str) -> Said:
    messages: Any = [{"role": "user", "content": QUESTION}]
    async with openai.AsyncOpenAI(
        api_key=token, base_url=live.url, max_retries=0, _strict_response_validation=True
    ) as client:
        stream = await client.chat.completions.create(
            model=model, messages=messages, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    choices = [choice for chunk in chunks for choice in chunk.choices]
    (usage,) = [chunk.usage for chunk in chunks if chunk.usage is not None]
    (finish,) = [choice.finish_reason for choice in choices if choice.finish_reason is not None]
    text = "".join(choice.delta.content or "" for choice in choices)
    return Said(text, finish, usage.prompt_tokens, usage.completion_tokens)


async def by_node(live: Live, token: str, model: str) -> Said:
    await asyncio.to_thread(install, NODE_CLIENT)
    environment = {**os.environ, "RAYROOM_URL": live.url, "RAYROOM_TOKEN": token}
    process = await asyncio.create_subprocess_exec(
        shutil.which("node") or "node",
        str(NODE_CLIENT / "stream.js"),
        model,
        QUESTION,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    told = json.loads(out)
    assert told["chunks"] > 1
    return Said(told["text"], told["finish"], told["usage"]["prompt_tokens"], told["usage"]["completion_tokens"])


async def by_livekit(live: Live, token: str, model: str) -> Said:
    context = llm.ChatContext.empty()
    context.add_message(role="user", content=QUESTION)
    async with livekit_openai.LLM(model=model, api_key=token, base_url=live.url) as plugin:
        async with plugin.chat(chat_ctx=context) as stream:
            chunks = [chunk async for chunk in stream]
    (usage,) = [chunk.usage for chunk in chunks if chunk.usage is not None]
    text = "".join(chunk.delta.content or "" for chunk in chunks if chunk.delta is not None)
    # The plugin does not pass the finish reason on.
    return Said(text, None, usage.prompt_tokens, usage.completion_tokens)


Client = Callable[[Live, str, str], Awaitable[Said]]


async def vendors_own_words(live: Live) -> str:
    """Return the emulator's own answer to the question, without the router."""
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": QUESTION}]}
    headers = {"authorization": "Bearer k"}
    async with aiohttp.ClientSession(live.emulator.base_urls()["openai"] + "/", headers=headers) as http:
        answer = await (await http.post("chat/completions", json=body)).json()
    live.emulator.journal.clear()
    return str(answer["choices"][0]["message"]["content"])


@pytest.mark.parametrize("client", [by_python, by_node, by_livekit])
async def test_a_real_clients_stream_is_the_vendors_and_so_is_its_bill(live: Live, client: Client) -> None:
    words, before = await vendors_own_words(live), await live.stack.billed_nanousd("acme")
    said = await client(live, await live.stack.open_room("tenant_acme_clients"), "simple")
    seen = await live.seen(lambda seen: seen.ended_at_s)
    assert said.text == words and said.finish in ("stop", None)
    assert (said.prompt_tokens, said.completion_tokens) == (seen.prompt_tokens, seen.completion_tokens) == (13, 24)
    assert await live.stack.billed_nanousd("acme") - before == live.charged_nanousd() > 0


@pytest.mark.parametrize("model", ["gpt-6-luna", "claude-sonnet-5-5", "gemini-3.5-flash-lite"])
async def test_every_vendors_stream_is_billed_to_the_unit_it_counted(live: Live, model: str) -> None:
    before = await live.stack.billed_nanousd("globex")
    said = await by_python(live, await live.stack.open_room("tenant_globex_vendors"), model)
    seen = await live.seen(lambda seen: seen.ended_at_s)
    assert seen.model == model and seen.stream and said.finish == "stop"
    assert (said.prompt_tokens, said.completion_tokens) == (seen.prompt_tokens, seen.completion_tokens)
    assert await live.stack.billed_nanousd("globex") - before == live.charged_nanousd() > 0


async def test_embeddings_are_billed_to_the_unit_their_vendor_counted(live: Live) -> None:
    before = await live.stack.billed_nanousd("acme")
    token = await live.stack.open_room("tenant_acme_vectors")
    async with openai.AsyncOpenAI(api_key=token, base_url=live.url, max_retries=0) as client:
        vectors = await client.embeddings.create(model="auto", input=["a slide", "another slide with a chart"])
    seen = await live.seen(lambda seen: seen.ended_at_s)
    assert len(vectors.data) == 2 and seen.vendor == "voyage"
    assert vectors.usage.prompt_tokens == seen.prompt_tokens == 7
    assert await live.stack.billed_nanousd("acme") - before == live.charged_nanousd() > 0


def turn(stream: bool = False, model: str = "simple", max_tokens: int = 200) -> dict[str, Any]:
    messages = [{"role": "user", "content": QUESTION}]
    return {"model": model, "messages": messages, "stream": stream, "max_tokens": max_tokens}


@asynccontextmanager
async def calling(live: Live, room: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Yield a bare client with a room's token: its sockets carry only the bytes that the test writes."""
    headers = {"authorization": f"Bearer {await live.stack.open_room(room)}"}
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(30)
    async with aiohttp.ClientSession(f"{live.url}/", headers=headers, connector=connector, timeout=timeout) as http:
        yield http


async def test_tokens_reach_the_client_as_the_vendor_says_them(live: Live) -> None:
    live.pace(token_s=0.02, answer_tokens=60)
    async with (
        calling(live, "tenant_acme_flow") as http,
        http.post("chat/completions", json=turn(stream=True)) as response,
    ):
        came_s = [time.time() async for line in response.content if b'"content":"' in line]
    seen = await live.seen(lambda seen: seen.ended_at_s)
    assert seen.answered_at_s is not None and seen.ended_at_s is not None
    took_s = seen.ended_at_s - seen.answered_at_s
    assert took_s > 1.0 and len(came_s) > 20
    assert came_s[0] - seen.answered_at_s < 0.2 and came_s[-1] - came_s[0] > 0.8 * took_s
    assert median(later - sooner for sooner, later in pairwise(came_s)) < 0.1


@dataclass(frozen=True, slots=True)
class Leaving:
    """The moment a client closes its socket: after so many lines of a stream, or before the first byte."""

    lines: int = 0
    stream: bool = True

    async def once(self, live: Live, http: aiohttp.ClientSession) -> float:
        """Send a request and disconnect; return how long the vendor went on."""
        asking = asyncio.create_task(http.post("chat/completions", json=turn(self.stream)))
        await live.seen(lambda seen: seen.sent_tokens >= self.lines)
        if self.lines:
            response = await asking
            for _ in range(self.lines):
                await response.content.readline()
        left_at_s = time.time()
        # A finished task cannot be cancelled, so its connection is closed by hand; a cancelled one closes its own.
        if self.lines:
            response.close()
        asking.cancel()
        seen = await live.seen(lambda seen: seen.ended_at_s)
        assert seen.disconnected_at_s is not None
        return seen.disconnected_at_s - left_at_s


WHOLE_NANOUSD = price_nanousd(
    LoggedRequest(path="", vendor="openai", model="gpt-6-luna", prompt_tokens=13, completion_tokens=200)
)
BEFORE_A_WORD, MID_STREAM, BEFORE_THE_WHOLE = Leaving(), Leaving(lines=6), Leaving(stream=False)


@pytest.mark.parametrize("leaving", [BEFORE_A_WORD, MID_STREAM, BEFORE_THE_WHOLE], ids=["before", "mid", "whole"])
async def test_a_client_that_leaves_ends_the_vendors_work_at_once(live: Live, leaving: Leaving) -> None:
    live.pace(first_s=0.0 if leaving.lines else 5.0, token_s=0.02, answer_tokens=200)
    took_s = []
    async with calling(live, "tenant_acme_leaving") as http:
        for _ in range(5):
            live.emulator.journal.clear()
            took_s.append(await leaving.once(live, http))
    assert median(took_s) < 0.2


@pytest.mark.parametrize("leaving", [BEFORE_A_WORD, MID_STREAM], ids=["before", "mid"])
async def test_a_client_that_leaves_owes_what_was_produced_until_then(live: Live, leaving: Leaving) -> None:
    live.pace(first_s=0.0 if leaving.lines else 5.0, token_s=0.02, answer_tokens=200)
    before = await live.stack.billed_nanousd("acme")
    async with calling(live, "tenant_acme_owing") as http:
        await leaving.once(live, http)
    owed = live.charged_nanousd()
    async with asyncio.timeout(60):
        while (billed := await live.stack.billed_nanousd("acme") - before) == 0:
            await asyncio.sleep(0.1)
    row = (await live.stack.backend.events("acme"))[-1]
    # A vendor reports no usage after a disconnect: the received text is counted by its length, never too low.
    assert owed <= billed < WHOLE_NANOUSD / 2 and row["metadata"]["estimatedRequests"] == 1


async def test_an_overloaded_vendor_is_replaced_by_the_next_and_only_the_answer_is_paid_for(live: Live) -> None:
    live.emulator.plan(Fault(status=503), vendor="openai", times=2)
    before = await live.stack.billed_nanousd("globex")
    said = await by_python(live, await live.stack.open_room("tenant_globex_fallback"), "complex")
    assert [(seen.vendor, seen.status) for seen in live.emulator.journal] == [
        ("openai", 503),
        ("openai", 503),
        ("anthropic", 200),
    ]
    answered = live.emulator.journal[-1]
    assert (said.prompt_tokens, said.completion_tokens) == (answered.prompt_tokens, answered.completion_tokens)
    assert await live.stack.billed_nanousd("globex") - before == price_nanousd(answered) > 0


async def one_by_one(http: aiohttp.ClientSession, for_s: float) -> list[Reply]:
    """Send one request after the other: never more than one slot is held."""
    end_s, replies = time.monotonic() + for_s, list[Reply]()
    while time.monotonic() < end_s:
        replies.append(await ask(http, turn(max_tokens=30)))
    return replies


async def test_a_tenant_that_floods_is_turned_away_and_another_is_always_answered(live: Live) -> None:
    # The slowdown of the other tenant is measured in tests/benchmarks/bench_fairness.py.
    live.pace(first_s=0.3)
    async with calling(live, "tenant_globex_small") as small, calling(live, "tenant_acme_flood") as large:
        async with asyncio.TaskGroup() as group:
            flooding = group.create_task(steadily(large, turn(max_tokens=30), 150.0, 4.0))
            beside = group.create_task(one_by_one(small, 4.0))
    refused = [reply for reply in flooding.result() if reply.status != 200]
    assert {reply.status for reply in beside.result()} == {200} and len(beside.result()) > 3
    assert refused and {(one.status, one.retry_after) for one in refused} == {(503, "1")}


async def test_every_response_has_one_request_id(live: Live) -> None:
    async with aiohttp.ClientSession(headers={"x-request-id": "trace-1"}) as http:
        for path, status in (("models", 401), ("nothing", 404)):
            async with http.get(f"{live.url}/{path}") as response:
                assert (response.status, response.headers.getall("x-request-id")) == (status, ["trace-1"])
