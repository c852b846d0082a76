"""Send spans to an OTLP collector from a thread of its own; a collector that does not answer costs nothing else."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from routing.errors import ConfigurationError
from routing.telemetry.tracing import use_tracer

TRACE_SHARE = "RAYROOM_TRACE_SHARE"
"""The share of requests that are traced, from 0 (off) to 1. A request that comes with a traceparent follows it."""
MAX_WAITING = 2_048
"""Spans that wait for the collector; more are dropped, and counted."""
SPANS_A_CALL = 512
EXPORT_TIMEOUT_S = 2.0
FLUSH_TIMEOUT_S = 1.0

log = structlog.get_logger()
_sender: SpanSender | None = None


def trace_share(environ: Mapping[str, str]) -> float:
    """Return the configured share; raises ConfigurationError that names the variable."""
    text = environ.get(TRACE_SHARE, "") or "0"
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigurationError(f"{TRACE_SHARE}: {text[:20]!r} is no number from 0 to 1.", TRACE_SHARE)
    return share


def configure_tracing(service: str, on_lost: Callable[[int], None] | None = None) -> None:
    """Trace this process if the environment says so, once. `on_lost` is called with each number of lost spans.

    The address and the headers of the collector are OpenTelemetry's own variables, such as OTEL_EXPORTER_OTLP_ENDPOINT.
    Raises ConfigurationError for a wrong share, and without the extra `traces`.
    """
    global _sender
    share = trace_share(os.environ)
    if share == 0 or _sender is not None:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise ConfigurationError(f"{TRACE_SHARE} needs the extra `traces`.", TRACE_SHARE) from None
    # They log a line for each span that is dropped and each call that fails; both are counted here.
    for name in ("opentelemetry.sdk", "opentelemetry.exporter"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    _sender = SpanSender(service, share, OTLPSpanExporter(timeout=EXPORT_TIMEOUT_S), on_lost or _log_first())
    use_tracer(_sender.tracer)


def flush_traces() -> None:
    """Send the spans that wait, for at most `FLUSH_TIMEOUT_S`. Blocks that long: call it in a thread at the end."""
    if _sender is not None:
        _sender.flush()


def _log_first() -> Callable[[int], None]:
    logged = False

    def on_lost(spans: int) -> None:
        nonlocal logged
        if not logged:
            logged = True
            log.warning("spans lost", spans=spans)

    return on_lost


class SpanSender:
    """The tracer of one process, and the thread that sends its spans."""

    def __init__(self, service: str, share: float, exporter: Any, on_lost: Callable[[int], None]) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

        lost = LostSpans(on_lost)
        # At the exit of a process nothing waits for a collector that is gone: `flush` is called in order.
        provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(share)),
            resource=Resource.create({"service.name": service}),
            shutdown_on_exit=False,
        )
        self._batches = BatchSpanProcessor(
            CountedExporter(exporter, lost),  # type: ignore[arg-type]
            max_queue_size=MAX_WAITING,
            max_export_batch_size=SPANS_A_CALL,
        )
        provider.add_span_processor(self._batches)
        provider.add_span_processor(CountedSpans(lost))  # type: ignore[arg-type]
        self.tracer = provider.get_tracer("rayroom")

    def flush(self) -> None:
        """Send what waits, within `FLUSH_TIMEOUT_S`: OpenTelemetry's own flush has no timeout."""
        sending = threading.Thread(target=self._batches.force_flush, daemon=True)
        sending.start()
        sending.join(FLUSH_TIMEOUT_S)


class LostSpans:
    """Counts the sampled spans that were not delivered: those of failed calls, and those over the bound."""

    def __init__(self, on_lost: Callable[[int], None], most: int = MAX_WAITING + SPANS_A_CALL) -> None:
        """`most` is the number of spans that can wait and be on their way."""
        self._on_lost = on_lost
        self._most = most
        self._lock = threading.Lock()
        self._pending = 0

    def ended(self) -> None:
        with self._lock:
            self._pending += 1
            if dropped := max(0, self._pending - self._most):
                self._pending -= dropped
        if dropped:
            self._on_lost(dropped)

    def called(self, spans: int, delivered: bool) -> None:
        """Count the spans of one call of the collector."""
        with self._lock:
            self._pending = max(0, self._pending - spans)
        if not delivered:
            self._on_lost(spans)


class CountedExporter:
    """An exporter of OpenTelemetry that never raises, and whose failures are counted."""

    def __init__(self, exporter: Any, lost: LostSpans) -> None:
        self._exporter = exporter
        self._lost = lost

    def export(self, spans: Sequence[Any]) -> Any:
        result = None
        try:
            result = self._exporter.export(spans)
        finally:
            self._lost.called(len(spans), getattr(result, "name", "") == "SUCCESS")
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class CountedSpans:
    """A span processor that counts the sampled spans as they end."""

    def __init__(self, lost: LostSpans) -> None:
        self._lost = lost

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        return None

    def _on_ending(self, span: Any) -> None:
        return None

    def on_end(self, span: Any) -> None:
        if span.context.trace_flags.sampled:
            self._lost.ended()

    def shutdown(self) -> None:
        return None

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True
