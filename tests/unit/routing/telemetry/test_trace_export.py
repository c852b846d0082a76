"""Spans that are not delivered are counted, and a collector that does not answer holds nothing up."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SpanExportResult

from routing.errors import ConfigurationError
from routing.telemetry import tracing
from routing.telemetry.trace_export import (
    MAX_WAITING,
    SPANS_A_CALL,
    TRACE_SHARE,
    LostSpans,
    SpanSender,
    configure_tracing,
    trace_share,
)


class Collector:
    """An exporter with one result for every call; it may hang until it is let go."""

    def __init__(self, result: SpanExportResult | Exception, hangs: bool = False) -> None:
        self._result = result
        self.go_on = threading.Event()
        if not hangs:
            self.go_on.set()
        self.received = 0

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        self.go_on.wait(10)
        self.received += len(spans)
        if isinstance(self._result, Exception):
            raise self._result
        return self._result

    def shutdown(self) -> None:
        return None


def sent(collector: Collector, spans: int, share: float = 1.0) -> int:
    """Send spans to a collector; return the number of lost ones."""
    lost = list[int]()
    sender = SpanSender("test", share, collector, lost.append)
    for _ in range(spans):
        sender.tracer.start_span("x").end()
    sender.flush()
    return sum(lost)


def test_delivered_spans_are_not_lost_and_a_share_of_zero_sends_none() -> None:
    collector = Collector(SpanExportResult.SUCCESS)
    assert sent(collector, 5) == 0 and collector.received == 5
    assert sent(collector, 5, share=0.0) == 0 and collector.received == 5


@pytest.mark.parametrize("result", [SpanExportResult.FAILURE, ConnectionError("refused")])
def test_spans_that_the_collector_does_not_take_are_counted(result: SpanExportResult | Exception) -> None:
    assert sent(Collector(result), 5) == 5


def test_a_hanging_collector_holds_up_neither_the_spans_nor_the_end() -> None:
    collector = Collector(SpanExportResult.SUCCESS, hangs=True)
    # Returns although no call of the collector does: 2,048 spans wait, 512 are on their way, the rest are lost.
    lost = sent(collector, 3_000)
    collector.go_on.set()
    assert lost == 3_000 - MAX_WAITING - SPANS_A_CALL


def test_spans_over_the_bound_are_lost_and_those_within_it_wait() -> None:
    lost = list[int]()
    counts = LostSpans(lost.append, most=10)
    for _ in range(13):
        counts.ended()
    assert sum(lost) == 3
    counts.called(10, delivered=True)
    counts.ended()
    assert sum(lost) == 3


@pytest.mark.parametrize(("text", "share"), [("", 0.0), ("0.25", 0.25), ("1", 1.0)])
def test_the_share_is_a_number_from_0_to_1_and_off_by_default(text: str, share: float) -> None:
    assert trace_share({TRACE_SHARE: text}) == share and trace_share({}) == 0.0


@pytest.mark.parametrize("text", ["yes", "1.5", "-0.1", "nan"])
def test_a_wrong_share_is_an_error_that_names_the_variable(text: str) -> None:
    with pytest.raises(ConfigurationError, match=TRACE_SHARE):
        trace_share({TRACE_SHARE: text})


def test_tracing_is_off_without_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRACE_SHARE, raising=False)
    configure_tracing("test")
    assert tracing.start_span("x").traceparent == ""
