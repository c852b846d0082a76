"""One contract, asked of every vendor's adapter through its real SDK, against a server that speaks its protocol."""

from __future__ import annotations

import asyncio
import pickle
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

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
from tests.integration.room_agent.desk import (
    ALL,
    ATTEMPT_S,
    BOTH,
    CATALOGUE,
    INPUTS,
    REFUSED,
    VENDORS,
    Case,
    Desk,
    all_of,
    ask,
    billed,
    charged,
    connected_desk,
    joined,
    model_of,
    noticed_s,
    until,
)


@pytest.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setenv("VENDOR_KEY", "k")
    async with connected_desk() as desk:
        yield desk


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


@ALL
@BOTH
async def test_an_answer_carries_the_usage_the_vendor_charges(vendor: str, how: str, desk: Desk) -> None:
    answer = await desk.ask(vendor, how, ask(vendor))
    (seen,) = desk.emulator.journal
    assert answer.finish == "stop" and len(answer.text.split()) == seen.completion_tokens > 8
    assert billed(answer.usage) == charged(seen) and answer.model == VENDORS[vendor][1]
    assert (seen.images, seen.stream, seen.model, seen.status) == (2, how == "stream", VENDORS[vendor][1], 200)


@ALL
async def test_a_stream_says_what_a_whole_answer_says_and_in_pieces(vendor: str, desk: Desk) -> None:
    whole = await desk.ask(vendor, "answer", ask(vendor))
    deltas = [delta async for delta in desk.provider(vendor).stream(model_of(vendor), ask(vendor))]
    assert joined(model_of(vendor), deltas) == whole and len(deltas) >= 4


@ALL
@BOTH
async def test_cached_written_and_thought_tokens_are_billed_once_each(vendor: str, how: str, desk: Desk) -> None:
    # Gemini has no charge for writing its cache.
    written = 0 if vendor == "gemini" else 40
    extras = Extras(cached_tokens=300, cache_write_5m_tokens=written, thinking_tokens=17)
    desk.emulator.plan(Fault(extras=extras))
    answer = await desk.ask(vendor, how, ask(vendor))
    (seen,) = desk.emulator.journal
    assert billed(answer.usage) == charged(seen)
    assert seen.cached_tokens == 300 and answer.usage is not None and answer.usage.thinking_tokens == 17


@ALL
@BOTH
async def test_an_answer_that_meets_its_limit_says_so(vendor: str, how: str, desk: Desk) -> None:
    answer = await desk.ask(vendor, how, ask(vendor, max_output_tokens=8))
    assert answer.finish == "length" and len(answer.text.split()) == 8


@ALL
@BOTH
@pytest.mark.parametrize("refusal", ["refused", "filtered"])
async def test_a_refusal_is_an_answer_and_is_billed(refusal: str, vendor: str, how: str, desk: Desk) -> None:
    desk.emulator.plan(Fault(refusal=refusal))  # type: ignore[arg-type]
    answer = await desk.ask(vendor, how, ask(vendor))
    (seen,) = desk.emulator.journal
    assert answer.finish == "refusal" and billed(answer.usage) == charged(seen)


@ALL
@BOTH
async def test_usage_that_is_not_told_is_unknown_and_not_zero(vendor: str, how: str, desk: Desk) -> None:
    desk.emulator.plan(Fault(untold_usage=True))
    answer = await desk.ask(vendor, how, ask(vendor))
    assert answer.usage is None and answer.text and answer.finish == "stop"


BROKEN = {
    "cut": Case(Fault(cut_after_chunks=2), ProviderTruncated, "stream"),
    "cut before a word": Case(Fault(cut_after_chunks=0), ProviderTruncated, "first_token"),
    "reset": Case(Fault(reset_after_chunks=2), ProviderUnreachable, "stream"),
    "overload": Case(Fault(overload_after_chunks=2), ProviderOverloaded, "stream"),
    "stall": Case(Fault(stall_after_chunks=2, stall_s=5.0), ProviderTimeout, "stream"),
}
QUOTAS = {
    "openai": Fault(status=429, code="insufficient_quota", retry_after_s=7.0),
    "openai-compatible": Fault(status=429, code="insufficient_quota", retry_after_s=7.0),
    "anthropic": Fault(status=429, code="enforced_spend_limit_reached", retry_after_s=7.0),
    "gemini": Fault(status=429, code="GenerateRequestsPerDayPerProjectPerModel-FreeTier", retry_after_s=7.0),
}


async def failure(desk: Desk, vendor: str, how: str, fault: Fault, an_ask: ModelRequest) -> ProviderError:
    """Return the error a fault becomes, which no SDK tried twice and which a process boundary does not change."""
    desk.emulator.plan(fault)
    with pytest.raises(ProviderError) as failed:
        await desk.ask(vendor, how, an_ask)
    again = pickle.loads(pickle.dumps(failed.value))
    assert type(again) is type(failed.value) and again.facts == failed.value.facts
    assert len(desk.emulator.journal) == 1
    return failed.value


@ALL
@BOTH
@pytest.mark.parametrize("name", REFUSED)
async def test_what_a_vendor_says_instead_of_an_answer_is_ours(name: str, vendor: str, how: str, desk: Desk) -> None:
    case = REFUSED[name]
    error = await failure(desk, vendor, how, case.fault, ask(vendor, timeout_s=0.5 if case.fault.delay_s else 5.0))
    # Anthropic's SDK skips events without a name, so the adapter only sees an empty answer.
    skipped = case.fault.garbage and (vendor, how) == ("anthropic", "stream")
    assert (type(error), error.facts["phase"]) == (case.kind, "first_token" if skipped else case.phase)
    assert error.retry_after_s == case.retry_after_s
    assert error.facts.get("vendor_status") == case.fault.status or case.fault.status is None


@ALL
@pytest.mark.parametrize("name", BROKEN)
async def test_a_stream_that_breaks_is_an_error_and_never_an_answer(name: str, vendor: str, desk: Desk) -> None:
    case = BROKEN[name]
    error = await failure(desk, vendor, "stream", case.fault, ask(vendor, between_s=0.3))
    assert (type(error), error.facts["phase"]) == (case.kind, case.phase)


@ALL
async def test_a_whole_answer_without_its_finish_marker_is_truncated(vendor: str, desk: Desk) -> None:
    error = await failure(desk, vendor, "answer", Fault(cut_after_chunks=2), ask(vendor))
    assert (type(error), error.facts["phase"]) == (ProviderTruncated, "parse")


@ALL
@BOTH
async def test_spent_credit_is_not_a_rate_limit(vendor: str, how: str, desk: Desk) -> None:
    error = await failure(desk, vendor, how, QUOTAS[vendor], ask(vendor))
    assert type(error) is ProviderQuota and not error.retryable and error.facts["vendor_status"] == 429


async def test_a_wrong_key_at_google_is_a_wrong_key_though_it_comes_as_400(desk: Desk) -> None:
    error = await failure(desk, "gemini", "answer", Fault(status=400, code="API_KEY_INVALID"), ask("gemini"))
    assert type(error) is ProviderAuth and error.facts["vendor_code"] == "API_KEY_INVALID"


@ALL
async def test_a_stream_that_stays_below_its_timers_may_last_longer_than_each(vendor: str, desk: Desk) -> None:
    desk.emulator.plan(Fault(stall_after_chunks=2, stall_s=0.4))
    deltas = [delta async for delta in desk.provider(vendor).stream(model_of(vendor), ask(vendor, between_s=1.0))]
    assert deltas[-1].finish == "stop"


@ALL
@BOTH
async def test_a_server_that_is_not_there_is_unconnected_at_once_and_costs_nothing(
    vendor: str, how: str, desk: Desk
) -> None:
    desk.provider(vendor, "http://127.0.0.1:9")
    began_s = time.monotonic()
    with pytest.raises(ProviderUnconnected) as failed:
        await desk.ask(vendor, how, ask(vendor))
    assert failed.value.facts["phase"] == "connect" and not failed.value.billable
    assert time.monotonic() - began_s < 1.0


async def test_a_server_that_does_not_take_the_connection_is_given_up_by_the_connect_timer(
    desk: Desk, deaf_url: str
) -> None:
    """All at once: each takes as long as the timer. It has to ring well before the attempt's own."""
    for vendor in VENDORS:
        desk.provider(vendor, deaf_url)
    began_s = time.monotonic()
    asked = [
        desk.ask(vendor, how, ask(vendor, timeout_s=ATTEMPT_S)) for vendor in VENDORS for how in ("answer", "stream")
    ]
    embedding = desk.provider("voyage", deaf_url).embed(
        CATALOGUE.get("voyage-3.5"), EmbedRequest(model="voyage-3.5", inputs=INPUTS, timeout_s=30.0)
    )
    errors = await asyncio.gather(*asked, embedding, return_exceptions=True)
    assert [(type(error), error.facts["phase"]) for error in errors if isinstance(error, ProviderError)] == [
        (ProviderUnconnected, "connect")
    ] * (2 * len(VENDORS) + 1)
    assert CONNECT_TIMEOUT_S <= time.monotonic() - began_s < ATTEMPT_S


@ALL
async def test_a_cancelled_answer_leaves_the_vendor_at_once(vendor: str, desk: Desk) -> None:
    desk.emulator.plan(Fault(delay_s=5.0))
    asking = asyncio.create_task(desk.ask(vendor, "answer", ask(vendor)))
    await until(lambda: len(desk.emulator.journal) == 1)
    left_at_s = time.time()
    asking.cancel()
    assert await noticed_s(desk) - left_at_s < 0.2
    with pytest.raises(asyncio.CancelledError):
        await asking


@ALL
@pytest.mark.parametrize("moment", ["while it waits", "between two pieces"])
async def test_a_stream_that_is_left_is_left_at_once(moment: str, vendor: str, desk: Desk) -> None:
    desk.emulator.plan(Fault(stall_after_chunks=2, stall_s=5.0))
    deltas = desk.provider(vendor).stream(model_of(vendor), ask(vendor))
    assert (await anext(deltas)).text
    left_at_s = time.time()
    if moment == "while it waits":
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(all_of(deltas), 0.05)
    await deltas.aclose()
    assert await noticed_s(desk) - left_at_s < 0.2
