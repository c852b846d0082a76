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
from tests.support.chat_load import ChatResult, complete_chat, send_at_rate
from tests.support.stack import ROOT, Stack, System

# The emulator runs on the loop of the tests, so that one clock times the disconnects of client and vendor.
pytestmark = pytest.mark.asyncio(loop_scope="session")

QUESTION = "What does the chart on the third slide say about the spring quarter?"
NODE_CLIENT = ROOT / "tests" / "support" / "openai_client"


class FixedLatency(LatencyModel):
    """Constant latencies."""

    def __init__(self, first_s: float = 0.0, token_s: float = 0.0) -> None:
        super().__init__(random.Random(7))
        self._first_s, self._token_s = first_s, token_s

    def first_token_s(self, model: str, slowdown: float = 1.0) -> float:
        return self._first_s

    def next_token_s(self, model: str, slowdown: float = 1.0) -> float:
        return self._token_s


@dataclass(frozen=True, slots=True)
class LiveRouter:
    """A running app with live vendors: an emulator at the other end of real sockets."""

    stack: Stack
    emulator: Emulator

    @property
    def url(self) -> str:
        return f"{self.stack.plan.router_url}/v1"

    def set_latency(self, first_s: float = 0.0, token_s: float = 0.0, answer_tokens: int = 24) -> None:
        state = self.emulator.state
        state.latency, state.answer_tokens = FixedLatency(first_s, token_s), answer_tokens

    def charged_nanousd(self) -> int:
        """Return the price of all vendor requests."""
        return sum(price_nanousd(request) for request in self.emulator.journal)

    async def request_when(self, condition: Callable[[LoggedRequest], object]) -> LoggedRequest:
        """Return the only vendor request, once `condition` holds for it."""
        async with asyncio.timeout(60):
            while not any(condition(request) for request in self.emulator.journal):
                await asyncio.sleep(0.005)
        (request,) = self.emulator.journal
        return request


def price_nanousd(request: LoggedRequest) -> int:
    catalogue = load_catalogue()
    (row,) = [row for row in catalogue.models.values() if row.vendor_name == request.model]
    price = catalogue.price(row.name, dt.datetime.now(dt.UTC).date())
    return price.cost_nanousd(Usage(input_tokens=request.prompt_tokens, output_tokens=request.completion_tokens))


@pytest.fixture
def router(system: System, monkeypatch: pytest.MonkeyPatch) -> LiveRouter:
    state = system.emulator.state
    monkeypatch.setattr(state, "latency", FixedLatency())
    monkeypatch.setattr(state, "answer_tokens", 24)
    state.faults.clear()
    state.journal.clear()
    return LiveRouter(system.stack, system.emulator)


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """A streamed answer as its client parsed it."""

    text: str
    finish: str | None
    prompt_tokens: int
    completion_tokens: int


async def stream_by_python(router: LiveRouter, token: str, model: str) -> StreamedAnswer:
    messages: Any = [{"role": "user", "content": QUESTION}]
    async with openai.AsyncOpenAI(
        api_key=token, base_url=router.url, max_retries=0, _strict_response_validation=True
    ) as client:
        stream = await client.chat.completions.create(
            model=model, messages=messages, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    choices = [choice for chunk in chunks for choice in chunk.choices]
    (usage,) = [chunk.usage for chunk in chunks if chunk.usage is not None]
    (finish,) = [choice.finish_reason for choice in choices if choice.finish_reason is not None]
    text = "".join(choice.delta.content or "" for choice in choices)
    return StreamedAnswer(text, finish, usage.prompt_tokens, usage.completion_tokens)


async def stream_by_node(router: LiveRouter, token: str, model: str) -> StreamedAnswer:
    await asyncio.to_thread(install, NODE_CLIENT)
    environment = {**os.environ, "RAYROOM_URL": router.url, "RAYROOM_TOKEN": token}
    process = await asyncio.create_subprocess_exec(
        shutil.which("node") or "node",
        str(NODE_CLIENT / "stream.js"),
        model,
        QUESTION,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    result = json.loads(output)
    assert result["chunks"] > 1
    return StreamedAnswer(
        result["text"], result["finish"], result["usage"]["prompt_tokens"], result["usage"]["completion_tokens"]
    )


async def stream_by_livekit(router: LiveRouter, token: str, model: str) -> StreamedAnswer:
    context = llm.ChatContext.empty()
    context.add_message(role="user", content=QUESTION)
    async with livekit_openai.LLM(model=model, api_key=token, base_url=router.url) as plugin:
        async with plugin.chat(chat_ctx=context) as stream:
            chunks = [chunk async for chunk in stream]
    (usage,) = [chunk.usage for chunk in chunks if chunk.usage is not None]
    text = "".join(chunk.delta.content or "" for chunk in chunks if chunk.delta is not None)
    # The plugin does not pass the finish reason on.
    return StreamedAnswer(text, None, usage.prompt_tokens, usage.completion_tokens)


StreamClient = Callable[[LiveRouter, str, str], Awaitable[StreamedAnswer]]


async def vendor_answer(router: LiveRouter) -> str:
    """Return the emulator's own answer to the question, without the router."""
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": QUESTION}]}
    headers = {"authorization": "Bearer k"}
    async with aiohttp.ClientSession(router.emulator.base_urls()["openai"] + "/", headers=headers) as http:
        answer = await (await http.post("chat/completions", json=body)).json()
    router.emulator.journal.clear()
    return str(answer["choices"][0]["message"]["content"])


@pytest.mark.parametrize("client", [stream_by_python, stream_by_node, stream_by_livekit])
async def test_a_real_client_receives_the_vendors_stream_and_is_billed_for_it(
    router: LiveRouter, client: StreamClient
) -> None:
    expected, before = await vendor_answer(router), await router.stack.billed_nanousd("acme")
    answer = await client(router, await router.stack.open_room("tenant_acme_clients"), "simple")
    request = await router.request_when(lambda request: request.ended_at_s)
    assert answer.text == expected and answer.finish in ("stop", None)
    assert (
        (answer.prompt_tokens, answer.completion_tokens)
        == (request.prompt_tokens, request.completion_tokens)
        == (13, 24)
    )
    assert await router.stack.billed_nanousd("acme") - before == router.charged_nanousd() > 0


@pytest.mark.parametrize("model", ["gpt-6-luna", "claude-sonnet-5-5", "gemini-3.5-flash-lite"])
async def test_the_stream_of_each_vendor_is_billed_to_the_token(router: LiveRouter, model: str) -> None:
    before = await router.stack.billed_nanousd("globex")
    answer = await stream_by_python(router, await router.stack.open_room("tenant_globex_vendors"), model)
    request = await router.request_when(lambda request: request.ended_at_s)
    assert request.model == model and request.stream and answer.finish == "stop"
    assert (answer.prompt_tokens, answer.completion_tokens) == (request.prompt_tokens, request.completion_tokens)
    assert await router.stack.billed_nanousd("globex") - before == router.charged_nanousd() > 0


async def test_embeddings_are_billed_to_the_token(router: LiveRouter) -> None:
    before = await router.stack.billed_nanousd("acme")
    token = await router.stack.open_room("tenant_acme_vectors")
    async with openai.AsyncOpenAI(api_key=token, base_url=router.url, max_retries=0) as client:
        vectors = await client.embeddings.create(model="auto", input=["a slide", "another slide with a chart"])
    request = await router.request_when(lambda request: request.ended_at_s)
    assert len(vectors.data) == 2 and request.vendor == "voyage"
    assert vectors.usage.prompt_tokens == request.prompt_tokens == 7
    assert await router.stack.billed_nanousd("acme") - before == router.charged_nanousd() > 0


def chat_body(stream: bool = False, model: str = "simple", max_tokens: int = 200) -> dict[str, Any]:
    messages = [{"role": "user", "content": QUESTION}]
    return {"model": model, "messages": messages, "stream": stream, "max_tokens": max_tokens}


@asynccontextmanager
async def raw_client(router: LiveRouter, room: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Yield an HTTP client with a room's token, without an SDK that would send requests again."""
    headers = {"authorization": f"Bearer {await router.stack.open_room(room)}"}
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(30)
    async with aiohttp.ClientSession(f"{router.url}/", headers=headers, connector=connector, timeout=timeout) as http:
        yield http


async def test_tokens_reach_the_client_as_the_vendor_sends_them(router: LiveRouter) -> None:
    router.set_latency(token_s=0.02, answer_tokens=60)
    async with (
        raw_client(router, "tenant_acme_flow") as http,
        http.post("chat/completions", json=chat_body(stream=True)) as response,
    ):
        arrival_times_s = [time.time() async for line in response.content if b'"content":"' in line]
    request = await router.request_when(lambda request: request.ended_at_s)
    assert request.answered_at_s is not None and request.ended_at_s is not None
    answer_s = request.ended_at_s - request.answered_at_s
    assert answer_s > 1.0 and len(arrival_times_s) > 20
    # Shares of the vendor's own time, which grows with the machine's load too.
    assert arrival_times_s[0] - request.answered_at_s < 0.2 * answer_s
    assert arrival_times_s[-1] - arrival_times_s[0] > 0.7 * answer_s
    assert median(second - first for first, second in pairwise(arrival_times_s)) < 0.05 * answer_s


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The moment at which a client closes its socket: after a number of lines, or before the first byte."""

    after_lines: int = 0
    stream: bool = True

    async def run(self, router: LiveRouter, http: aiohttp.ClientSession) -> float:
        """Send a request and disconnect; return the seconds until the vendor noticed."""
        sending = asyncio.create_task(http.post("chat/completions", json=chat_body(self.stream)))
        await router.request_when(lambda request: request.sent_tokens >= self.after_lines)
        if self.after_lines:
            response = await sending
            for _ in range(self.after_lines):
                await response.content.readline()
        disconnected_at_s = time.time()
        # A finished task cannot be cancelled, so its connection is closed here; a cancelled task closes its own.
        if self.after_lines:
            response.close()
        sending.cancel()
        request = await router.request_when(lambda request: request.ended_at_s)
        assert request.disconnected_at_s is not None
        return request.disconnected_at_s - disconnected_at_s


FULL_PRICE_NANOUSD = price_nanousd(
    LoggedRequest(path="", vendor="openai", model="gpt-6-luna", prompt_tokens=13, completion_tokens=200)
)
BEFORE_FIRST_BYTE, MID_STREAM, BEFORE_WHOLE_ANSWER = Disconnect(), Disconnect(after_lines=6), Disconnect(stream=False)


@pytest.mark.parametrize(
    "disconnect", [BEFORE_FIRST_BYTE, MID_STREAM, BEFORE_WHOLE_ANSWER], ids=["before", "mid", "whole"]
)
async def test_a_disconnect_of_the_client_cancels_the_vendors_request_at_once(
    router: LiveRouter, disconnect: Disconnect
) -> None:
    router.set_latency(first_s=0.0 if disconnect.after_lines else 5.0, token_s=0.02, answer_tokens=200)
    delays_s = []
    async with raw_client(router, "tenant_acme_leaving") as http:
        for _ in range(5):
            router.emulator.journal.clear()
            delays_s.append(await disconnect.run(router, http))
    # Far below the four seconds and more for which the answer would go on.
    assert median(delays_s) < 1.0


async def settled_windows(router: LiveRouter) -> list[dict[str, Any]]:
    """Return acme's windows that hold a request, once all its requests are settled and sent.

    The late correction of an earlier request is a window without any.
    """
    async with asyncio.timeout(60):
        while (await router.stack.usage("acme"))["reserved_nanousd"]:
            await asyncio.sleep(0.1)
    await router.stack.billed_nanousd("acme")
    windows = [event["metadata"] for event in await router.stack.backend.events("acme")]
    return [window for window in windows if window["requests"]]


async def first_new_window(router: LiveRouter, before: int) -> dict[str, Any]:
    """Return acme's first window after `before` others, as soon as the backend has it."""
    async with asyncio.timeout(60):
        while not (windows := (await settled_windows(router))[before:]):
            await asyncio.sleep(0.1)
    return windows[0]


async def test_a_client_that_leaves_before_the_first_word_is_billed_for_its_question(router: LiveRouter) -> None:
    router.set_latency(first_s=5.0, token_s=0.02, answer_tokens=200)
    before = len(await settled_windows(router))
    async with raw_client(router, "tenant_acme_owing") as http:
        await BEFORE_FIRST_BYTE.run(router, http)
    charged_nanousd = router.charged_nanousd()
    window = await first_new_window(router, before)
    assert charged_nanousd <= int(window["costNanousd"]) < FULL_PRICE_NANOUSD / 2 and window["estimatedRequests"] == 1


async def test_a_client_that_leaves_in_mid_answer_is_billed_for_the_words_until_then(router: LiveRouter) -> None:
    router.set_latency(answer_tokens=200)
    # The vendor pauses after six words. Of one that goes on, words may be on their way that nobody receives any more.
    router.emulator.plan(Fault(stall_after_chunks=6), vendor="openai")
    before, words = len(await settled_windows(router)), 0
    async with raw_client(router, "tenant_acme_owing") as http:
        response = await http.post("chat/completions", json=chat_body(stream=True))
        while words < 6:
            words += words_in(await response.content.readline())
        response.close()
        await router.request_when(lambda request: request.ended_at_s)
    charged_nanousd = router.charged_nanousd()
    window = await first_new_window(router, before)
    # A vendor reports no usage after a disconnect; the length of the received text gives an upper estimate.
    assert charged_nanousd <= int(window["costNanousd"]) < FULL_PRICE_NANOUSD / 2 and window["estimatedRequests"] == 1


def words_in(line: bytes) -> int:
    """Return the number of words in one line of a streamed answer."""
    if not line.startswith(b"data: {"):
        return 0
    return sum(len((choice["delta"].get("content") or "").split()) for choice in json.loads(line[6:])["choices"])


async def test_an_overloaded_vendor_falls_back_to_the_next_and_only_the_answer_is_billed(router: LiveRouter) -> None:
    router.emulator.plan(Fault(status=503), vendor="openai", times=2)
    before = await router.stack.billed_nanousd("globex")
    answer = await stream_by_python(router, await router.stack.open_room("tenant_globex_fallback"), "complex")
    assert [(request.vendor, request.status) for request in router.emulator.journal] == [
        ("openai", 503),
        ("openai", 503),
        ("anthropic", 200),
    ]
    last_request = router.emulator.journal[-1]
    assert (answer.prompt_tokens, answer.completion_tokens) == (
        last_request.prompt_tokens,
        last_request.completion_tokens,
    )
    assert await router.stack.billed_nanousd("globex") - before == price_nanousd(last_request) > 0


async def send_sequentially(http: aiohttp.ClientSession, duration_s: float) -> list[ChatResult]:
    """Send one request after the other, and so hold at most one slot."""
    end_s, results = time.monotonic() + duration_s, list[ChatResult]()
    while time.monotonic() < end_s:
        results.append(await complete_chat(http, chat_body(max_tokens=30)))
    return results


async def test_a_flooding_tenant_is_shed_and_another_is_always_answered(router: LiveRouter) -> None:
    # The slowdown of the other tenant is measured in tests/benchmarks/bench_fairness.py.
    router.set_latency(first_s=0.3)
    async with raw_client(router, "tenant_globex_small") as small, raw_client(router, "tenant_acme_flood") as large:
        async with asyncio.TaskGroup() as group:
            flood = group.create_task(send_at_rate(large, chat_body(max_tokens=30), 150.0, 4.0))
            sequential = group.create_task(send_sequentially(small, 4.0))
    refused = [result for result in flood.result() if result.status != 200]
    assert {result.status for result in sequential.result()} == {200} and len(sequential.result()) > 3
    assert refused and {(result.status, result.retry_after) for result in refused} == {(503, "1")}


async def test_every_response_has_one_request_id(router: LiveRouter) -> None:
    async with aiohttp.ClientSession(headers={"x-request-id": "trace-1"}) as http:
        for path, status in (("models", 401), ("nothing", 404)):
            async with http.get(f"{router.url}/{path}") as response:
                assert (response.status, response.headers.getall("x-request-id")) == (status, ["trace-1"])
