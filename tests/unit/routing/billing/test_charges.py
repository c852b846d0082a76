"""An attempt is billed by the vendor's final usage, else by what it reported and sent until then, else as expected."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from routing.billing.charges import Charge, ReceivedAnswer, Tariff
from routing.billing.usage_means import UsageMeans
from routing.chat import ToolCallDelta
from routing.errors import (
    CostsUnavailable,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderTruncated,
    ReplicaLost,
)
from routing.models import Delta, Usage
from routing.prices import Price
from tests.support.manual_clock import ManualClock

PRICE = Price(
    model="m",
    effective_from=dt.date(2026, 1, 1),
    source="a test",
    input_pico=1_000,
    cached_input_pico=100,
    output_pico=10_000,
)
MOST = Usage(input_tokens=20_000, cache_write_tokens=20_000, output_tokens=900)
THINKS = Usage(input_tokens=20_000, output_tokens=900, thinking_tokens=400)
MEANS = UsageMeans(input_share=0.5, visible_tokens=50, thinking_share=0.5, bytes_per_token=2.0, bytes_per_s=0.0)
TOLD = Usage(input_tokens=10_000, cached_input_tokens=9_000)
LEFT = asyncio.CancelledError()
CLOCK = ManualClock(100.0)


def received(*deltas: Delta) -> ReceivedAnswer:
    answer = ReceivedAnswer(CLOCK)
    for delta in deltas:
        answer.add(delta)
    return answer


def charge(
    answer: ReceivedAnswer, error: BaseException | None = LEFT, most: Usage = MOST, streamed: bool = True
) -> Charge:
    return Tariff(price=PRICE, most=most, means=MEANS).charge(answer, error, streamed)


def test_the_vendors_final_usage_is_no_estimate_however_the_attempt_ends() -> None:
    answer = received(Delta(text="hello"), Delta(finish="stop", usage=TOLD))
    for error in (None, LEFT, ProviderTruncated()):
        assert charge(answer, error) == Charge(usage=TOLD, cost_nanousd=1_000 + 900, estimated=False)


def test_a_cut_answer_keeps_the_vendors_input_and_adds_the_text_that_came() -> None:
    bill = charge(received(Delta(text="abcd", usage_so_far=TOLD), Delta(text="ef")))
    assert bill.usage == Usage(input_tokens=10_000, cached_input_tokens=9_000, output_tokens=3) and bill.estimated


def test_output_that_the_vendor_counted_is_not_counted_again() -> None:
    counted = Usage(input_tokens=10, output_tokens=7, thinking_tokens=5)
    bill = charge(received(Delta(text="abcd", usage_so_far=counted), Delta(text="ef")), most=THINKS)
    assert (bill.usage.output_tokens, bill.usage.thinking_tokens) == (8, 5)


def test_thinking_is_billed_by_its_text_or_as_it_is_expected() -> None:
    by_text = charge(received(Delta(usage_so_far=TOLD), Delta(thinking_bytes=300)), most=THINKS)
    unseen = charge(received(Delta(usage_so_far=TOLD), Delta(text="abcd")), most=THINKS)
    assert (by_text.usage.output_tokens, unseen.usage.output_tokens) == (150, 202)
    assert by_text.usage.thinking_tokens == 150 and unseen.usage.thinking_tokens == 200


def test_no_estimate_is_above_the_limit_of_the_output() -> None:
    assert charge(received(Delta(text="a" * 10_000))).usage.output_tokens == 900


def test_arguments_of_tools_are_output() -> None:
    called = Delta(tool_calls=(ToolCallDelta(index=0, name="look", arguments="{}"),))
    assert charge(received(called)).usage.output_tokens == 3


def test_usage_that_came_before_the_end_is_no_final_one() -> None:
    bill = charge(received(Delta(usage=TOLD), Delta(text="ab")))
    assert bill.estimated and bill.usage.output_tokens == 1 and bill.usage.cached_input_tokens == 9_000


def test_an_attempt_whose_pieces_are_unseen_is_billed_as_expected() -> None:
    unseen, silent = charge(ReceivedAnswer(CLOCK), streamed=False), charge(ReceivedAnswer(CLOCK))
    assert unseen.usage == Usage(input_tokens=10_000, output_tokens=50) and unseen.estimated
    assert silent.usage == Usage(input_tokens=10_000) and silent.estimated


def test_an_answer_that_cannot_be_read_was_made_all_the_same() -> None:
    assert charge(ReceivedAnswer(CLOCK), ProviderTruncated(phase="parse")).usage.output_tokens == 50
    assert charge(ReceivedAnswer(CLOCK), ProviderTruncated(phase="first_token")).usage.output_tokens == 0


@pytest.mark.parametrize(
    "error",
    [ProviderOverloaded(), ProviderTimeout(vendor_status=408), CostsUnavailable()],
    ids=lambda e: type(e).__name__,
)
def test_an_error_in_place_of_an_answer_is_free_unless_a_part_of_the_answer_came(error: Exception) -> None:
    assert charge(ReceivedAnswer(CLOCK), error) == Charge()
    assert charge(received(Delta(text="ab")), error).cost_nanousd > 0


def test_a_failed_attempt_is_billed_as_its_replica_knows_it() -> None:
    timeout, lost = ProviderTimeout(), ReplicaLost()
    assert charge(ReceivedAnswer(CLOCK), lost).cost_nanousd > 0
    timeout.spent = Usage()
    assert charge(received(Delta(text="ab")), timeout) == Charge()
    timeout.spent = TOLD
    assert charge(ReceivedAnswer(CLOCK), timeout) == Charge(usage=TOLD, cost_nanousd=1_900, estimated=True)


def test_a_request_that_never_left_is_free_whatever_ended_it() -> None:
    tariff = Tariff(price=PRICE, most=MOST, means=MEANS)
    for error in (LEFT, ProviderTimeout(), KeyError("a bug")):
        assert tariff.charge(ReceivedAnswer(CLOCK), error, streamed=True, left=False) == Charge()


def test_a_unit_without_a_price_is_billed_at_the_reservation() -> None:
    tariff = Tariff(price=PRICE, most=MOST)
    bill = tariff.charge(received(Delta(finish="stop", usage=Usage(audio_ms=7))), None, streamed=True)
    assert (bill.cost_nanousd, bill.estimated, bill.unpriced_unit) == (
        tariff.reservation_nanousd,
        True,
        "audio_ms_pico",
    )
