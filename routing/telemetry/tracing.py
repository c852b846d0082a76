"""Trace requests with OpenTelemetry where it is switched on; otherwise a span is an empty object.

A span's parent is always given as a W3C `traceparent`, over HTTP and over Serve's handles alike: no context follows a
generator from task to task. No attribute holds content: no prompt, no picture, no answer, no text of an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Literal

from routing.errors import RayroomError

Value = str | int | float | bool | tuple[str, ...]
Kind = Literal["internal", "server", "client"]
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_PARENT: ContextVar[str] = ContextVar("traceparent", default="")
_PROVIDERS = {"gemini": "gcp.gemini"}
"""The names of the semantic conventions where they differ from a vendor's row of the configuration."""


class Span:
    """A span in progress, a context manager; without a tracer it only passes its parent on."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: Any | None, traceparent: str) -> None:
        self._span = span
        self.traceparent = traceparent
        """The W3C header by which a span elsewhere names this one as its parent; empty outside a trace."""

    def set(self, **attributes: Value | None) -> None:
        """Set attributes; a name's `__` stands for a dot, and None sets nothing."""
        if self._span is not None:
            for name, value in attributes.items():
                if value is not None:
                    self._span.set_attribute(name.replace("__", "."), value)

    def rename(self, name: str) -> None:
        if self._span is not None:
            self._span.update_name(name)

    def event(self, name: str) -> None:
        """Note a moment, such as the first token."""
        if self._span is not None:
            self._span.add_event(name)

    def end(self, error: BaseException | None = None) -> None:
        """End the span; of an error only its class is noted."""
        if self._span is None:
            return
        if error is not None:
            from opentelemetry.trace import StatusCode

            self.set(error__type=error.code if isinstance(error, RayroomError) else type(error).__name__)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()

    def __enter__(self) -> Span:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)


NO_SPAN = Span(None, "")
_tracer: Any | None = None


def use_tracer(tracer: Any | None) -> None:
    """Make the spans of this process with an OpenTelemetry tracer; None switches tracing off."""
    global _tracer
    _tracer = tracer


def start_span(name: str, kind: Kind = "internal", parent: str | None = None) -> Span:
    """Start a span below `parent`, a W3C traceparent; without one, below the span of this task."""
    header = current_traceparent() if parent is None else parent
    if _tracer is None:
        return Span(None, header)
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanKind, format_span_id, format_trace_id
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({"traceparent": header} if header else {}, Context())
    span = _tracer.start_span(name, context, SpanKind[kind.upper()])
    made = span.get_span_context()
    flags = f"{made.trace_flags:02x}"
    return Span(span, f"00-{format_trace_id(made.trace_id)}-{format_span_id(made.span_id)}-{flags}")


@contextmanager
def task_span(name: str, kind: Kind = "internal", parent: str | None = None) -> Iterator[Span]:
    """Start a span and make it the parent of the spans of this task. Not for generators: another task may end them."""
    with start_span(name, kind, parent) as span:
        token = _PARENT.set(span.traceparent)
        try:
            yield span
        finally:
            _PARENT.reset(token)


def current_traceparent() -> str:
    """Return the traceparent of this task's span, or an empty text outside a trace."""
    return _PARENT.get()


def trace_headers() -> Mapping[str, str]:
    """Return the header that continues this task's trace in another service."""
    header = current_traceparent()
    return {"traceparent": header} if header else {}


def valid_traceparent(header: str) -> str:
    """Return a caller's header if it is a valid one, or an empty text."""
    return header if _TRACEPARENT.fullmatch(header) else ""


def provider_name(vendor: str) -> str:
    """Return a vendor's name by the GenAI semantic conventions."""
    return _PROVIDERS.get(vendor, vendor)
