"""Describe vendor calls as spans, by OpenTelemetry's semantic conventions for generative AI; never their content."""

from __future__ import annotations

from routing.catalogue import Model
from routing.models import EmbedRequest, Finish, ModelRequest, Usage
from routing.telemetry.current_request import serve_request
from routing.telemetry.tracing import Span, provider_name, start_span


def vendor_span(operation: str, model: Model, request: ModelRequest | EmbedRequest) -> Span:
    """Start the span of one vendor call below that of its attempt; the operation is `chat` or `embeddings`.

    From here on the task's log lines carry the id of the caller's request.
    """
    # A router of an older version sends none.
    request_id: str = getattr(request, "request_id", "")
    serve_request(request_id)
    span = start_span(f"{operation} {model.name}", "client", parent=request.traceparent)
    span.set(
        gen_ai__operation__name=operation,
        gen_ai__provider__name=provider_name(model.vendor),
        gen_ai__request__model=model.name,
        gen_ai__request__max_tokens=request.max_output_tokens if isinstance(request, ModelRequest) else None,
        rayroom__request_id=request_id or None,
    )
    return span


def describe_usage(span: Span, usage: Usage | None, finish: Finish | None = None, model: str | None = None) -> None:
    """Set the usage, the reason of the end and the serving model, as far as the vendor reported them."""
    span.set(gen_ai__response__model=model, gen_ai__response__finish_reasons=finish and (finish,))
    if usage is not None:
        span.set(
            gen_ai__usage__input_tokens=usage.input_tokens,
            gen_ai__usage__output_tokens=usage.output_tokens,
            gen_ai__usage__cache_read__input_tokens=usage.cached_input_tokens or None,
            gen_ai__usage__reasoning__output_tokens=usage.thinking_tokens or None,
        )
