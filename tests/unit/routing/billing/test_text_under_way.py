"""The estimate of a cut stream has the text that its vendor wrote until it noticed the end of its connection."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.billing.charges import MOST_UNDER_WAY_S, NOTICED_AFTER_S, ReceivedAnswer, Tariff
from routing.billing.usage_means import UsageMeans
from routing.errors import ProviderTimeout, ProviderTruncated, ReplicaLost
from routing.models import Delta, Usage
from routing.prices import Price
from tests.support.manual_clock import ManualClock

PRICE = Price(model="m", effective_from=dt.date(2026, 1, 1), source="a test", input_pico=0, output_pico=1_000)
MOST = Usage(output_tokens=1_000_000)
TOKEN = "word"
LEFT = asyncio.CancelledError()


def estimated_tokens(
    received: ReceivedAnswer, error: BaseException | None = LEFT, means: UsageMeans | None = None, most: Usage = MOST
) -> int:
    means = means or UsageMeans(bytes_per_s=4.0 * 50)
    tariff = Tariff(price=PRICE, most=most, means=means)
    return tariff.charge(received, error, streamed=True).usage.output_tokens


def after_pieces(pieces: int, every_s: float, silent_s: float) -> ReceivedAnswer:
    """Return an answer of one token a piece, after a silence."""
    clock = ManualClock(100.0)
    received = ReceivedAnswer(clock)
    for _ in range(pieces):
        received.add(Delta(text=TOKEN))
        clock.now_s += every_s
    clock.now_s += silent_s - every_s
    return received


@given(
    pieces=st.integers(1, 200),
    every_s=st.floats(0.005, 0.15),
    silent_s=st.floats(0.0, MOST_UNDER_WAY_S - NOTICED_AFTER_S),
    noticed_s=st.floats(0.0, 0.8 * NOTICED_AFTER_S),
)
def test_the_estimate_is_never_below_the_tokens_that_an_even_vendor_has_written(
    pieces: int, every_s: float, silent_s: float, noticed_s: float
) -> None:
    means = UsageMeans(bytes_per_s=len(TOKEN) / every_s)
    tokens = estimated_tokens(after_pieces(pieces, every_s, silent_s), means=means)
    written = pieces + int((silent_s + noticed_s) / every_s)
    assert written <= tokens <= written + NOTICED_AFTER_S / every_s + 2


@given(silent_s=st.floats(0.0, 10_000.0), pieces=st.integers(1, 500), every_s=st.floats(0.0, 0.5))
def test_a_stalled_vendor_is_taken_to_write_for_a_second_at_most(silent_s: float, pieces: int, every_s: float) -> None:
    received = after_pieces(pieces, every_s, silent_s)
    pace = received.bytes_per_s or 200.0
    assert estimated_tokens(received) <= pieces + MOST_UNDER_WAY_S * pace / len(TOKEN) + 1
    assert estimated_tokens(received, most=Usage(output_tokens=7)) <= 7


def test_pieces_of_one_read_tell_no_pace() -> None:
    at_once, steady = after_pieces(10, 0.001, 0.41), after_pieces(10, 0.1, 0.41)
    assert at_once.bytes_per_s is None
    assert estimated_tokens(at_once) == 10 + 22
    assert steady.bytes_per_s == pytest.approx(40.0) and estimated_tokens(steady) == 10 + 5


@pytest.mark.parametrize("error", [ProviderTimeout(), ProviderTruncated(phase="stream"), None])
def test_a_vendor_that_ended_or_fell_silent_is_taken_to_have_written_nothing_more(error: Exception | None) -> None:
    assert estimated_tokens(after_pieces(30, 0.02, 0.5), error) == 30
    assert estimated_tokens(after_pieces(30, 0.02, 0.5), ReplicaLost()) > 50


def test_nothing_is_under_way_before_the_first_text_and_after_the_end() -> None:
    clock = ManualClock(100.0)
    thinking, finished = ReceivedAnswer(clock), ReceivedAnswer(clock)
    thinking.add(Delta(usage_so_far=Usage(input_tokens=9)))
    finished.add(Delta(text=TOKEN))
    finished.add(Delta(finish="stop"))
    clock.now_s += 0.5
    assert (estimated_tokens(thinking), estimated_tokens(finished)) == (0, 1)
