"""Anthropic's Messages protocol under /anthropic/v1."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from aiohttp import web
from pydantic import Field, ValidationError

from cluster.lab.emulator.core.answers import GeneratedAnswer, TokenCounts
from cluster.lab.emulator.core.capacity import LimitGauge, LimitStatus
from cluster.lab.emulator.core.content import Part, RequestMessage, measure
from cluster.lab.emulator.core.parsing import BAD_IMAGE, Lenient, bearer, from_base64, invalid
from cluster.lab.emulator.core.protocol import StreamFrame, VendorRefusal, converse
from cluster.lab.emulator.core.request import EmulatorState, ParsedRequest, RequestProblem

PREFIX = "/anthropic/v1"
NAME = "anthropic"
# From this version on the API has no sampling parameters; a date compares as text.
NO_SAMPLING_SINCE = "2026-10-21"
SAMPLING = ("temperature", "top_p", "top_k")
MAX_IMAGE_BYTES = 5 * 1024 * 1024
_STOP = {"stop": "end_turn", "length": "max_tokens", "refused": "refusal", "filtered": "refusal"}
_REASONS: dict[str, tuple[int, str]] = {
    "no_key": (401, "x-api-key header is required"),
    "bad_request": (400, "The request is not valid."),
    "unknown_model": (404, "model: not found"),
    "requests": (429, "This request would exceed your organization's rate limit of requests per minute."),
    "tokens": (429, "This request would exceed your organization's rate limit of tokens per minute."),
    "concurrent": (429, "Number of concurrent connections has exceeded your rate limit."),
    "overloaded": (529, "Overloaded"),
}
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class _AnthropicSource(Lenient):
    type: Literal["base64", "url"]
    data: str = ""
    url: str = ""


class _AnthropicBlock(Lenient):
    type: str
    text: str = ""
    source: _AnthropicSource | None = None

    def part(self) -> Part:
        if self.source is None:
            return self.text
        return from_base64(self.source.data) if self.source.type == "base64" else self.source.url.encode()


class _AnthropicMessage(Lenient):
    role: Literal["user", "assistant"]
    content: str | list[_AnthropicBlock]


class _AnthropicRequest(Lenient):
    model: str
    max_tokens: int = Field(ge=1)
    messages: list[_AnthropicMessage] = Field(min_length=1)
    system: str | list[_AnthropicBlock] = ""
    stream: bool = False

    def turns(self) -> Iterator[RequestMessage]:
        for role, content in (("system", self.system), *((one.role, one.content) for one in self.messages)):
            parts = (content,) if isinstance(content, str) else tuple(block.part() for block in content)
            yield RequestMessage(role, parts)


def anthropic_routes(state: EmulatorState) -> list[web.RouteDef]:
    """Return the routes, bound to the shared state."""
    protocol = AnthropicMessages(state.clock)

    async def messages(request: web.Request) -> web.StreamResponse:
        return await converse(state, protocol, request)

    return [web.post(f"{PREFIX}/messages", messages)]


class AnthropicMessages:
    """The Messages API. The clock is there for the limits, which are said as moments."""

    # A refusal has no text: it is a stop reason.
    refusal_words: tuple[str, ...] = ()

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def read(self, request: web.Request, body: Any) -> ParsedRequest:
        key = bearer(request.headers) or request.headers.get("x-api-key") or None
        wrong = _wrong(request, body)
        try:
            message = _AnthropicRequest.model_validate(body)
        except ValidationError as error:
            return ParsedRequest(vendor=NAME, key=key, wrong=wrong or invalid(error))
        turns = tuple(message.turns())
        parts = [part for turn in turns for part in turn.parts]
        content = measure(parts)
        if content is None:
            wrong = wrong or BAD_IMAGE
        if any(isinstance(part, bytes) and len(part) > MAX_IMAGE_BYTES for part in parts):
            wrong = wrong or RequestProblem("image exceeds 5 MB maximum")
        parsed = ParsedRequest(vendor=NAME, model=message.model, key=key, stream=message.stream, wrong=wrong)
        if content is None:
            return parsed
        return ParsedRequest(
            vendor=NAME,
            model=message.model,
            key=key,
            stream=message.stream,
            content=content,
            turns=turns,
            max_tokens=message.max_tokens,
            wrong=wrong,
        )

    def refusal_response(
        self, refusal: VendorRefusal, parsed: ParsedRequest, limit_status: LimitStatus
    ) -> web.Response:
        status, message = _REASONS.get(refusal.reason, (500, "Internal server error"))
        status = refusal.status or status
        if refusal.reason == "unknown_model":
            message = f"model: {parsed.model}"
        headers = self.headers(limit_status)
        if refusal.retry_after_s is not None:
            headers["retry-after"] = f"{max(1, round(refusal.retry_after_s))}"
        body = error_body(status, refusal.code, refusal.message or message) | {"request_id": headers["request-id"]}
        return web.json_response(body, status=status, headers=headers | refusal.headers)

    def headers(self, limit_status: LimitStatus) -> dict[str, str]:
        headers = {"request-id": f"req_{uuid.uuid4().hex}"}
        for name, gauge in (("requests", limit_status.requests), ("tokens", limit_status.tokens)):
            if gauge is not None:
                headers |= self._limit(name, gauge)
        return headers

    def response_body(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Any:
        text = [{"type": "text", "text": answer.text, "citations": None}] if answer.words else []
        usage = {} if answer.untold_usage else {"usage": _usage(answer.token_counts)}
        return _message(parsed, text) | _stopped(answer) | usage

    def frames(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Iterable[StreamFrame]:
        # The input is known when the stream begins; the output is told at its end, counted from the beginning.
        begun = {} if answer.untold_usage else {"usage": _usage(answer.token_counts) | {"output_tokens": 1}}
        yield _event(
            "message_start", message=_message(parsed, []) | {"stop_reason": None, "stop_sequence": None} | begun
        )
        yield _event("ping")
        if answer.words:
            yield _event("content_block_start", index=0, content_block={"type": "text", "text": "", "citations": None})
            for index, word in enumerate(answer.words):
                delta = {"type": "text_delta", "text": f" {word}" if index else word}
                yield _event("content_block_delta", tokens=1, index=0, delta=delta)
            yield _event("content_block_stop", index=0)
        ended: dict[str, Any] = {} if answer.untold_usage else {"usage": _usage(answer.token_counts)}
        yield _event("message_delta", delta=_stopped(answer), **ended)
        yield _event("message_stop")

    def overload(self) -> bytes:
        return _event("error", **error_body(529, None, "Overloaded")).data

    def _limit(self, name: str, gauge: LimitGauge) -> dict[str, str]:
        whole_at = dt.datetime.fromtimestamp(self._clock() + gauge.reset_s, dt.UTC)
        prefix = f"anthropic-ratelimit-{name}"
        return {
            f"{prefix}-limit": str(gauge.limit),
            f"{prefix}-remaining": str(gauge.remaining),
            f"{prefix}-reset": whole_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        }


def _wrong(request: web.Request, body: Any) -> RequestProblem | None:
    version = request.headers.get("anthropic-version")
    if version is None:
        return RequestProblem("anthropic-version: header is required")
    sampling = [name for name in SAMPLING if isinstance(body, dict) and name in body]
    if sampling and version >= NO_SAMPLING_SINCE:
        return RequestProblem(f"{sampling[0]}: Extra inputs are not permitted")
    return None


def error_body(status: int, code: str | None, message: str) -> dict[str, Any]:
    """Return Anthropic's error. A code that is no type of error is its detail, as a spend limit is."""
    kind = code if code in _TYPES.values() else _TYPES.get(status, "api_error")
    details = {} if code in (None, kind) else {"details": {"error_code": code}}
    return {"type": "error", "error": {"type": kind, "message": message} | details}


def _usage(token_counts: TokenCounts) -> dict[str, Any]:
    """Anthropic's input excludes tokens read from and written to the cache; its output includes thinking tokens."""
    extras = token_counts.extras
    written = extras.cache_write_5m_tokens + extras.cache_write_1h_tokens
    return {
        "input_tokens": token_counts.input_tokens - extras.cached_tokens - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": extras.cached_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": extras.cache_write_5m_tokens,
            "ephemeral_1h_input_tokens": extras.cache_write_1h_tokens,
        },
        "output_tokens": token_counts.output_tokens,
        "output_tokens_details": {"thinking_tokens": extras.thinking_tokens},
        "service_tier": "standard",
    }


def _message(parsed: ParsedRequest, content: list[dict[str, Any]]) -> dict[str, Any]:
    number = f"msg_{parsed.content.digest.hex()}"
    return {"id": number, "type": "message", "role": "assistant", "model": parsed.model, "content": content}


def _stopped(answer: GeneratedAnswer) -> dict[str, Any]:
    reason = None if answer.end is None else _STOP[answer.end]
    details = {"type": "refusal", "category": None, "explanation": None} if reason == "refusal" else None
    return {"stop_reason": reason, "stop_sequence": None, "stop_details": details}


def _event(kind: str, tokens: int = 0, **fields: Any) -> StreamFrame:
    data = json.dumps({"type": kind} | fields)
    return StreamFrame(f"event: {kind}\ndata: {data}\n\n".encode(), tokens)
