"""A vendor that refuses a request: the caller gets the reason, and no other vendor the same request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cluster.lab.emulator import Emulator, Fault
from deployments.common.settings import VendorSettings
from deployments.routes import build_routes
from routing.errors import (
    ContextTooLong,
    ProviderAuth,
    ProviderContextTooLong,
    ProviderMisconfigured,
    ProviderOverloaded,
    ProviderRefused,
    RequestRefused,
)
from routing.models import Delta, Usage
from routing.retry import RetrySettings
from tests.integration.gateway.attempts_in_memory import (
    FLASH,
    LUNA,
    SOL,
    USAGE,
    AttemptRunner,
    Vendors,
    cost,
    routed_request,
)
from tests.integration.gateway.listed_metrics import ListedMetrics
from tests.support.credentials import Bearer
from tests.support.gateway import SIMULATED, gateway_in_process

BAD_SCHEMA = ProviderRefused(
    param="tools.0", vendor_status=400, vendor_code="invalid_function_parameters", reason="The schema is no object."
)
NO_SUCH_OPTION = ProviderRefused(vendor_status=400, vendor_code="unsupported_parameter")
UNKNOWN_MODEL = ProviderMisconfigured(vendor_status=404, vendor_code="model_not_found")


async def whole(runner: AttemptRunner) -> Any:
    return await runner.answer(routed_request(LUNA, FLASH, stronger=(SOL,)))


async def streamed(runner: AttemptRunner) -> Any:
    return await runner.streamed(routed_request(LUNA, FLASH, stronger=(SOL,)))


both = pytest.mark.parametrize("call", [whole, streamed])


@both
async def test_a_refused_request_is_the_callers_and_no_second_vendor_gets_it(call: Any) -> None:
    metrics = ListedMetrics()
    runner = AttemptRunner(Vendors({LUNA: [(BAD_SCHEMA,)]}), metrics=metrics)
    with pytest.raises(RequestRefused) as refused:
        await call(runner)
    error = refused.value
    assert (error.status, error.param, error.facts["vendor_code"]) == (400, "tools.0", "invalid_function_parameters")
    assert error.message == f"openai refuses the request to {LUNA}: The schema is no object."
    assert runner.vendors.called_models == [LUNA] and runner.costs.bill() == [(LUNA, 0, False)]
    assert metrics.counted == [("refused", LUNA, "request")]


async def test_refused_requests_do_not_open_the_breaker() -> None:
    runner = AttemptRunner(Vendors({LUNA: [(BAD_SCHEMA,)] * 20 + [("hello", USAGE)]}))
    for _ in range(20):
        with pytest.raises(RequestRefused):
            await whole(runner)
    assert (await whole(runner)).answer.text == "hello"


@both
@pytest.mark.parametrize("error", [NO_SUCH_OPTION, UNKNOWN_MODEL, ProviderAuth(vendor_status=401)])
async def test_a_refusal_that_concerns_the_model_or_our_configuration_goes_to_the_next_model(
    call: Any, error: Exception
) -> None:
    runner = AttemptRunner(Vendors({LUNA: [(error,)], FLASH: [("hello", USAGE)]}))
    await call(runner)
    assert runner.vendors.called_models == [LUNA, FLASH]


async def test_an_option_that_no_model_takes_is_the_callers_mistake_and_a_wrong_model_name_is_ours() -> None:
    runner = AttemptRunner(Vendors({LUNA: [(NO_SUCH_OPTION,), (UNKNOWN_MODEL,)]}))
    with pytest.raises(RequestRefused, match="unsupported_parameter"):
        await runner.answer(routed_request(LUNA))
    with pytest.raises(ProviderMisconfigured) as refused:
        await runner.answer(routed_request(LUNA))
    assert refused.value.status == 502


async def test_a_request_that_is_too_long_for_a_vendor_is_refused_with_openais_code() -> None:
    too_long = ProviderContextTooLong(vendor_status=400, reason="prompt is too long: 9 tokens > 8")
    runner = AttemptRunner(Vendors({LUNA: [(too_long,)], FLASH: [(too_long,)]}))
    with pytest.raises(ContextTooLong, match="prompt is too long") as refused:
        await runner.answer(routed_request(LUNA, FLASH))
    assert (refused.value.status, refused.value.code) == (400, "context_length_exceeded")


async def test_a_refusal_after_a_failure_ends_the_request() -> None:
    runner = AttemptRunner(
        Vendors({LUNA: [(ProviderOverloaded(),)], FLASH: [(BAD_SCHEMA,)]}), retries=RetrySettings(tries_of_target=1)
    )
    with pytest.raises(RequestRefused, match="gemini refuses"):
        await whole(runner)


async def test_cached_input_and_the_served_tier_are_counted_for_each_model() -> None:
    metrics = ListedMetrics()
    usage = Usage(input_tokens=1_000, cached_input_tokens=768, output_tokens=5)
    plan = ("hello", Delta(finish="stop", usage=usage, service_tier="flex"))
    odd = ("hello", Delta(finish="stop", usage=USAGE, service_tier="tier of tenant 7"))
    runner = AttemptRunner(Vendors({LUNA: [plan, odd, ("hello", None)]}), metrics=metrics)
    for _ in range(3):
        await runner.streamed(routed_request(LUNA))
    assert metrics.tokens == {LUNA: (1_010, 768)} and metrics.tiers == [(LUNA, "flex"), (LUNA, "other")]
    # OpenAI bills its flex tier at half of the standard price.
    assert runner.costs.bill()[0] == (LUNA, cost(LUNA, usage) // 2, False)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator().running() as emulator:
        yield emulator


@pytest.mark.parametrize("stream", [False, True])
async def test_the_caller_of_the_route_gets_400_once(
    emulator: Emulator, tmp_path: Path, bearer: Bearer, stream: bool
) -> None:
    vendors = {**SIMULATED, "openai": VendorSettings(api="openai", base_url=f"{emulator.url}/openai/v1")}
    emulator.faults.append(Fault(status=400, code="invalid_function_parameters", message="The schema is no object."))
    async with gateway_in_process(tmp_path, vendors=vendors) as (gateway, cluster):
        transport = httpx.ASGITransport(build_routes(gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://router") as http:
            body = {"model": "simple", "messages": [{"role": "user", "content": "Hello"}], "stream": stream}
            refused = await http.post("/v1/chat/completions", json=body, headers=bearer())
        assert [row["cost_nanousd"] for row in await cluster.events()] == [0]
    error = refused.json()["error"]
    assert (refused.status_code, error["type"]) == (400, "invalid_request_error")
    assert error["vendor_code"] == "invalid_function_parameters" and len(emulator.journal) == 1
