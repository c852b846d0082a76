"""The interface of a vendor's protocol, and the handling of a request through it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from aiohttp import web

from cluster.lab.emulator.core.answers import AnswerStyle, GeneratedAnswer, compose
from cluster.lab.emulator.core.capacity import LimitStatus
from cluster.lab.emulator.core.faults import Fault
from cluster.lab.emulator.core.request import EmulatedRequest, EmulatorState, ParsedRequest
from cluster.lab.emulator.core.response_writer import ConnectionBroken, ResponseWriter
from cluster.lab.emulator.core.silence import silent_words

BODY_TIMEOUT_S = 30.0
MAX_EXCHANGE_S = 3_600.0
HTML = "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"
GARBAGE = b'{"id": "emulated", "choi'

Reason = Literal["no_key", "bad_request", "unknown_model", "requests", "tokens", "concurrent", "overloaded", "fault"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorRefusal:
    """Why a request is refused; each vendor has its own status, headers and body for it.

    Statuses, types and codes are the vendors' documented ones, read 2026-11-22; the messages only resemble theirs.
    """

    reason: Reason
    status: int | None = None
    code: str | None = None
    message: str | None = None
    param: str | None = None
    retry_after_s: float | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StreamFrame:
    """One encoded frame of a stream, and the number of text tokens in it."""

    data: bytes
    tokens: int = 0


class VendorProtocol(Protocol):
    """One vendor's protocol: parses requests and encodes responses, without any I/O."""

    refusal_words: tuple[str, ...]
    """The words of a refusal, for vendors that express a refusal as text."""

    def read(self, request: web.Request, body: Any) -> ParsedRequest:
        """Parse a request; `wrong` describes the first validation error."""

    def refusal_response(
        self, refusal: VendorRefusal, parsed: ParsedRequest, limit_status: LimitStatus
    ) -> web.Response: ...

    def headers(self, limit_status: LimitStatus) -> dict[str, str]:
        """Return the rate limit headers of a successful response."""

    def response_body(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Any: ...

    def frames(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Iterable[StreamFrame]: ...

    def overload(self) -> bytes:
        """Return the overload error as a frame inside a stream."""


@runtime_checkable
class AnswerHeaders(Protocol):
    """A protocol whose successful responses have headers that depend on the answer."""

    def answer_headers(self, answer: GeneratedAnswer) -> dict[str, str]: ...


async def converse(state: EmulatorState, protocol: VendorProtocol, request: web.Request) -> web.StreamResponse:
    """Answer one request as the vendor would, or inject its fault."""
    parsed, writer = protocol.read(request, await read_json(request)), ResponseWriter(request)
    try:
        async with state.exchange(request.path, parsed) as exchange, asyncio.timeout(MAX_EXCHANGE_S):
            writer.break_after(exchange.fault.reset_after_bytes)
            await exchange.pause(exchange.fault.delay_s)
            refusal = refusal_of(exchange)
            if refusal is not None:
                return await _refuse(protocol, exchange, refusal, writer)
            return await _answer(state, protocol, exchange, writer)
    except (ConnectionBroken, ConnectionError):
        return writer.response


async def read_json(request: web.Request) -> Any:
    """Return a request's body, or None if it is not JSON."""
    async with asyncio.timeout(BODY_TIMEOUT_S):
        try:
            return json.loads(await request.read())
        except ValueError:
            return None


def refusal_of(exchange: EmulatedRequest) -> VendorRefusal | None:
    """Return the refusal of a request or None, checked in the order of the vendors' own checks."""
    parsed, fault = exchange.request, exchange.fault
    if parsed.key is None:
        return VendorRefusal(reason="no_key")
    if parsed.wrong is not None:
        wrong = parsed.wrong
        return VendorRefusal(
            reason="bad_request", status=wrong.status, code=wrong.code, message=wrong.message, param=wrong.param
        )
    if not exchange.has_model():
        return VendorRefusal(reason="unknown_model")
    if exchange.rejection is not None:
        return VendorRefusal(reason=exchange.rejection.reason, retry_after_s=exchange.rejection.retry_after_s)
    return _refusal_by_fault(fault, parsed.stream)


def _refusal_by_fault(fault: Fault, stream: bool) -> VendorRefusal | None:
    if fault.overload_after_chunks is not None and not stream:
        return VendorRefusal(reason="overloaded", retry_after_s=fault.retry_after_s, headers=fault.headers)
    if fault.status is None and not fault.html:
        return None
    return VendorRefusal(
        reason="fault",
        status=fault.status or 502,
        code=fault.code,
        message=fault.message,
        retry_after_s=fault.retry_after_s,
        headers=fault.headers,
    )


async def _refuse(
    protocol: VendorProtocol, exchange: EmulatedRequest, refusal: VendorRefusal, writer: ResponseWriter
) -> web.StreamResponse:
    response = protocol.refusal_response(refusal, exchange.request, exchange.limit_status())
    if exchange.fault.html:
        response = web.Response(status=response.status, text=HTML, content_type="text/html", headers=refusal.headers)
    exchange.answered(response.status)
    return await writer.complete(response)


async def _answer(
    state: EmulatorState, protocol: VendorProtocol, exchange: EmulatedRequest, writer: ResponseWriter
) -> web.StreamResponse:
    parsed, fault = exchange.request, exchange.fault
    style = AnswerStyle(
        answer_tokens=state.answer_tokens, seed=state.seed, extras=state.extras, refusal_words=protocol.refusal_words
    )
    given_words = silent_words(parsed.turns) or await state.engines.answer(parsed.turns)
    answer = compose(parsed, fault, style, given_words, exchange.cached())
    _log(exchange, answer)
    headers = protocol.headers(exchange.limit_status())
    if isinstance(protocol, AnswerHeaders):
        headers |= protocol.answer_headers(answer)
    headers |= fault.headers
    await exchange.first_token()
    if parsed.stream:
        return await _stream(protocol, exchange, answer, writer, headers)
    await exchange.next_tokens(answer.visible_tokens)
    body = GARBAGE if fault.garbage else json.dumps(protocol.response_body(parsed, answer)).encode()
    exchange.answered(200)
    return await writer.complete(web.Response(body=body, content_type="application/json", headers=headers))


def _log(exchange: EmulatedRequest, answer: GeneratedAnswer) -> None:
    """Log the token counts of the whole answer."""
    counts, extras = answer.token_counts, answer.token_counts.extras
    exchange.note(
        prompt_tokens=counts.input_tokens,
        completion_tokens=counts.output_tokens,
        cached_tokens=extras.cached_tokens,
        cache_write_5m_tokens=extras.cache_write_5m_tokens,
        cache_write_1h_tokens=extras.cache_write_1h_tokens,
        thinking_tokens=extras.thinking_tokens,
        image_tokens=counts.image_tokens,
        image_px=counts.image_px,
        tool_calls=len(answer.tool_calls),
        service_tier=answer.service_tier,
    )


async def _stream(
    protocol: VendorProtocol,
    exchange: EmulatedRequest,
    answer: GeneratedAnswer,
    writer: ResponseWriter,
    headers: dict[str, str],
) -> web.StreamResponse:
    await writer.begin({"Content-Type": "text/event-stream", "Cache-Control": "no-cache"} | headers)
    exchange.answered(200)
    if exchange.fault.garbage:
        await writer.write(b"data: " + GARBAGE + b"\n\n")
        return writer.response
    return await _send_frames(protocol, exchange, answer, writer)


async def _send_frames(
    protocol: VendorProtocol, exchange: EmulatedRequest, answer: GeneratedAnswer, writer: ResponseWriter
) -> web.StreamResponse:
    fault, chunks, stall_at = exchange.fault, 0, exchange.fault.stall_after_chunks
    for frame in protocol.frames(exchange.request, answer):
        if chunks == stall_at:
            stall_at = None
            await exchange.pause(fault.stall_s)
        if chunks in (fault.cut_after_chunks, fault.overload_after_chunks, fault.reset_after_chunks):
            exchange.broke()
            return await _break_off(protocol, fault, chunks, writer)
        if frame.tokens and chunks:
            await exchange.next_tokens(frame.tokens)
        # Counted before it is written, so that a client that has read the last byte finds a complete log line.
        exchange.sent(frame.tokens)
        await writer.write(frame.data)
        chunks += frame.tokens > 0
    return writer.response


async def _break_off(protocol: VendorProtocol, fault: Fault, chunks: int, writer: ResponseWriter) -> web.StreamResponse:
    if chunks == fault.reset_after_chunks:
        await writer.reset()
    if chunks == fault.overload_after_chunks:
        await writer.write(protocol.overload())
    return writer.response
