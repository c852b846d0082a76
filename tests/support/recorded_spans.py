"""The spans of a test in memory, from the product's own tracer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from routing.telemetry.tracing import use_tracer


class RecordedSpans:
    """The ended spans, in the order of their ends."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("test")

    @property
    def all(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def named(self, start: str) -> ReadableSpan:
        """Return the only span whose name begins so."""
        (span,) = (span for span in self.all if span.name.startswith(start))
        return span

    def chain(self) -> list[str]:
        """Return the names from the root on; every span must be the only child of the one before."""
        by_parent = {span.parent.span_id if span.parent else None: span for span in self.all}
        assert len(by_parent) == len(self.all), "two spans have one parent"
        names, parent = list[str](), None
        while (span := by_parent.get(parent)) is not None:
            assert span.context is not None
            names.append(span.name)
            parent = span.context.span_id
        return names


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@contextmanager
def recorded_spans() -> Iterator[RecordedSpans]:
    """Trace everything within the block."""
    recorded = RecordedSpans()
    use_tracer(recorded.tracer)
    try:
        yield recorded
    finally:
        use_tracer(None)
