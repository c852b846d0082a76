"""One contract, asked of every vendor's adapter through its real SDK, against a server that speaks its protocol."""

from __future__ import annotations

import asyncio
import pickle
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from cluster.lab.emulator import Extras, Fault
from deployments.providers.timeouts import CONNECT_TIMEOUT_S
from routing.errors import (
    ProviderAuth,
    ProviderError,
    ProviderOverloaded,
    ProviderQuota,
    ProviderTimeout,
    ProviderTruncated,
    ProviderUnconnected,
    ProviderUnreachable,
)
from routing.models import EmbedRequest, ModelRequest
from tests.integration.providers.connected_adapters import (
    ATTEMPT_S,
    CATALOGUE,
    EACH_METHOD,
    EACH_VENDOR,
    FAULT_CASES,
    INPUTS,
    VENDORS,
    ConnectedAdapters,
    FaultCase,
    billed_usage,
    charged_usage,
    collect,
    connected_adapters,
    disconnect_noticed_at_s,
    joined_answer,
    model_of,
    model_request,
    wait_until,
)

AT_ONCE_S = 2.0
"""Far below the five seconds for which the vendor would still be silent, also on a busy machine."""


@pytest.fixture
async def adapters(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ConnectedAdapters]:
    monkeypatch.setenv("VENDOR_KEY", "k")
    async with connected_adapters() as adapters:
        yield adapters


@pytest.fixture
def deaf_url() -> Iterator[str]:
    """Return the address of a port whose queue is full: the kernel leaves further connections without an answer."""
    with ExitStack() as sockets:
        server = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@EACH_VENDOR
@EACH_METHOD
async def test_an_answer_carries_the_usage_the_vendor_charges(
    vendor: str, method: str, adapters: ConnectedAdapters
) -> None:
    answer = await adapters.send(vendor, method, model_request(vendor))
    (seen,) = adapters.emulator.journal
    assert answer.finish == "stop" and len(answer.text.split()) == seen.completion_tokens > 8
    assert billed_usage(answer.usage) == charged_usage(seen) and answer.model == VENDORS[vendor][1]
    # Whole answers are requested as streams too.
    assert (seen.images, seen.stream, seen.model, seen.status) == (2, True, VENDORS[vendor][1], 200)


@EACH_VENDOR
async def test_a_stream_says_what_a_whole_answer_says_and_in_pieces(vendor: str, adapters: ConnectedAdapters) -> None:
    whole = await adapters.send(vendor, "answer", model_request(vendor))
    deltas = [delta async for delta in adapters.provider(vendor).stream(model_of(vendor), model_request(vendor))]
    assert joined_answer(model_of(vendor), deltas) == whole and len(deltas) >= 4


@EACH_VENDOR
@EACH_METHOD
async def test_cached_written_and_thought_tokens_are_billed_once_each(
    vendor: str, method: str, adapters: ConnectedAdapters
) -> None:
    # Gemini has no charge for writing its cache.
    written = 0 if vendor == "gemini" else 40
    extras = Extras(cached_tokens=300, cache_write_5m_tokens=written, thinking_tokens=17)
    adapters.emulator.plan(Fault(extras=extras))
    answer = await adapters.send(vendor, method, model_request(vendor))
    (seen,) = adapters.emulator.journal
    assert billed_usage(answer.usage) == charged_usage(seen)
    assert seen.cached_tokens == 300 and answer.usage is not None and answer.usage.thinking_tokens == 17


@EACH_VENDOR
@EACH_METHOD
async def test_an_answer_that_meets_its_limit_says_so(vendor: str, method: str, adapters: ConnectedAdapters) -> None:
    request = model_request(vendor, max_output_tokens=8)
    if vendor == "gemini":
        # The emulated Gemini does not think at its lowest level, so that its room would hold more text.
        request = replace(request, thinking_tokens=0)
    answer = await adapters.send(vendor, method, request)
    assert answer.finish == "length" and len(answer.text.split()) == 8


@EACH_VENDOR
@EACH_METHOD
@pytest.mark.parametrize("refusal", ["refused", "filtered"])
async def test_a_refusal_is_an_answer_and_is_billed(
    refusal: str, vendor: str, method: str, adapters: ConnectedAdapters
) -> None:
    adapters.emulator.plan(Fault(refusal=refusal))  # type: ignore[arg-type]
    answer = await adapters.send(vendor, method, model_request(vendor))
    (seen,) = adapters.emulator.journal
    assert answer.finish == "refusal" and billed_usage(answer.usage) == charged_usage(seen)


@EACH_VENDOR
@EACH_METHOD
async def test_usage_that_is_not_told_is_unknown_and_not_zero(
    vendor: str, method: str, adapters: ConnectedAdapters
) -> None:
    adapters.emulator.plan(Fault(unreported_usage=True))
    answer = await adapters.send(vendor, method, model_request(vendor))
    assert answer.usage is None and answer.text and answer.finish == "stop"


BROKEN = {
    "cut": FaultCase(Fault(cut_after_chunks=2), ProviderTruncated, "stream"),
    "cut before a word": FaultCase(Fault(cut_after_chunks=0), ProviderTruncated, "first_token"),
    "reset": FaultCase(Fault(reset_after_chunks=2), ProviderUnreachable, "stream"),
    "overload": FaultCase(Fault(overload_after_chunks=2), ProviderOverloaded, "stream"),
    "stall": FaultCase(Fault(stall_after_chunks=2, stall_s=5.0), ProviderTimeout, "stream"),
}
QUOTAS = {
    "openai": Fault(status=429, code="insufficient_quota", retry_after_s=7.0),
    "openai-compatible": Fault(status=429, code="insufficient_quota", retry_after_s=7.0),
    "anthropic": Fault(status=429, code="enforced_spend_limit_reached", retry_after_s=7.0),
    "gemini": Fault(status=429, code="GenerateRequestsPerDayPerProjectPerModel-FreeTier", retry_after_s=7.0),
}


async def failure(
    adapters: ConnectedAdapters, vendor: str, method: str, fault: Fault, request: ModelRequest
) -> ProviderError:
    """Return the error a fault becomes, which no SDK tried twice and which a process boundary does not change."""
    adapters.emulator.plan(fault)
    with pytest.raises(ProviderError) as failed:
        await adapters.send(vendor, method, request)
    again = pickle.loads(pickle.dumps(failed.value))
    assert type(again) is type(failed.value) and again.facts == failed.value.facts
    assert len(adapters.emulator.journal) == 1
    return failed.value


@EACH_VENDOR
@EACH_METHOD
@pytest.mark.parametrize("name", FAULT_CASES)
async def test_what_a_vendor_says_instead_of_an_answer_is_ours(
    name: str, vendor: str, method: str, adapters: ConnectedAdapters
) -> None:
    case = FAULT_CASES[name]
    error = await failure(
        adapters, vendor, method, case.fault, model_request(vendor, timeout_s=0.5 if case.fault.delay_s else 5.0)
    )
    # Anthropic's SDK skips events without a name, so the adapter only sees an empty answer.
    skipped = case.fault.garbage and vendor == "anthropic"
    assert (type(error), error.facts["phase"]) == (case.kind, "first_token" if skipped else case.phase)
    assert error.retry_after_s == case.retry_after_s
    assert error.facts.get("vendor_status") == case.fault.status or case.fault.status is None


@EACH_VENDOR
@EACH_METHOD
@pytest.mark.parametrize("name", BROKEN)
async def test_a_stream_that_breaks_is_an_error_and_never_an_answer(
    name: str, vendor: str, method: str, adapters: ConnectedAdapters
) -> None:
    case = BROKEN[name]
    request = model_request(vendor, timeout_s=0.5 if case.fault.stall_after_chunks else 5.0, between_s=0.3)
    error = await failure(adapters, vendor, method, case.fault, request)
    assert (type(error), error.facts["phase"]) == (case.kind, case.phase)


@EACH_VENDOR
@EACH_METHOD
async def test_spent_credit_is_not_a_rate_limit(vendor: str, method: str, adapters: ConnectedAdapters) -> None:
    error = await failure(adapters, vendor, method, QUOTAS[vendor], model_request(vendor))
    assert type(error) is ProviderQuota and not error.retryable and error.facts["vendor_status"] == 429


async def test_a_wrong_key_at_google_is_a_wrong_key_though_it_comes_as_400(adapters: ConnectedAdapters) -> None:
    error = await failure(
        adapters, "gemini", "answer", Fault(status=400, code="API_KEY_INVALID"), model_request("gemini")
    )
    assert type(error) is ProviderAuth and error.facts["vendor_code"] == "API_KEY_INVALID"


@EACH_VENDOR
async def test_a_stream_that_stays_below_its_timers_may_last_longer_than_each(
    vendor: str, adapters: ConnectedAdapters
) -> None:
    adapters.emulator.plan(Fault(stall_after_chunks=2, stall_s=0.4))
    deltas = [
        delta
        async for delta in adapters.provider(vendor).stream(model_of(vendor), model_request(vendor, between_s=1.0))
    ]
    assert deltas[-1].finish == "stop"


@EACH_VENDOR
@EACH_METHOD
async def test_a_server_that_is_not_there_is_unconnected_at_once_and_costs_nothing(
    vendor: str, method: str, adapters: ConnectedAdapters
) -> None:
    adapters.provider(vendor, "http://127.0.0.1:9")
    began_s = time.monotonic()
    with pytest.raises(ProviderUnconnected) as failed:
        await adapters.send(vendor, method, model_request(vendor))
    assert failed.value.facts["phase"] == "connect" and not failed.value.billable
    assert time.monotonic() - began_s < 1.0


async def test_a_server_that_does_not_take_the_connection_is_given_up_by_the_connect_timer(
    adapters: ConnectedAdapters, deaf_url: str
) -> None:
    """All at once: each takes as long as the timer. It has to ring well before the attempt's own."""
    for vendor in VENDORS:
        adapters.provider(vendor, deaf_url)
    began_s = time.monotonic()
    asked = [
        adapters.send(vendor, method, model_request(vendor, timeout_s=ATTEMPT_S))
        for vendor in VENDORS
        for method in ("answer", "stream")
    ]
    embedding = adapters.provider("voyage", deaf_url).embed(
        CATALOGUE.get("voyage-3.5"), EmbedRequest(model="voyage-3.5", inputs=INPUTS, timeout_s=30.0)
    )
    errors = await asyncio.gather(*asked, embedding, return_exceptions=True)
    assert [(type(error), error.facts["phase"]) for error in errors if isinstance(error, ProviderError)] == [
        (ProviderUnconnected, "connect")
    ] * (2 * len(VENDORS) + 1)
    assert CONNECT_TIMEOUT_S <= time.monotonic() - began_s < ATTEMPT_S


@EACH_VENDOR
async def test_a_cancelled_answer_leaves_the_vendor_at_once(vendor: str, adapters: ConnectedAdapters) -> None:
    adapters.emulator.plan(Fault(delay_s=5.0))
    sending = asyncio.create_task(adapters.send(vendor, "answer", model_request(vendor)))
    await wait_until(lambda: len(adapters.emulator.journal) == 1)
    left_at_s = time.time()
    sending.cancel()
    assert await disconnect_noticed_at_s(adapters) - left_at_s < AT_ONCE_S
    with pytest.raises(asyncio.CancelledError):
        await sending


@EACH_VENDOR
@pytest.mark.parametrize("moment", ["while it waits", "between two pieces"])
async def test_a_stream_that_is_left_is_left_at_once(moment: str, vendor: str, adapters: ConnectedAdapters) -> None:
    adapters.emulator.plan(Fault(stall_after_chunks=2, stall_s=5.0))
    deltas = adapters.provider(vendor).stream(model_of(vendor), model_request(vendor))
    assert (await anext(deltas)).text
    left_at_s = time.time()
    if moment == "while it waits":
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(collect(deltas), 0.05)
    await deltas.aclose()
    assert await disconnect_noticed_at_s(adapters) - left_at_s < AT_ONCE_S
