"""OpenAI's chat and embeddings protocols under /openai/v1."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from typing import Any, Literal

from aiohttp import web
from pydantic import Field, ValidationError

from cluster.lab.emulator.core.answers import GeneratedAnswer, TokenCounts
from cluster.lab.emulator.core.capacity import LimitGauge, LimitStatus
from cluster.lab.emulator.core.content import RequestMessage, measure
from cluster.lab.emulator.core.model_rules import rules_of
from cluster.lab.emulator.core.parsing import (
    BAD_IMAGE,
    Lenient,
    bearer,
    invalid,
    parse_embedding,
    picture,
    vector,
)
from cluster.lab.emulator.core.protocol import StreamFrame, VendorRefusal, converse
from cluster.lab.emulator.core.request import EmulatorState, ParsedRequest

PREFIX = "/openai/v1"
DIMENSIONS = 256
NAME = "openai"
# A fixed creation time keeps the answers of one seed identical; no client reads it.
CREATED_S = 1_764_000_000
_QUOTA = ("insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached")
_FINISH = {"stop": "stop", "length": "length", "refused": "stop", "filtered": "content_filter"}
_REASONS: dict[str, tuple[int, str, str]] = {
    "no_key": (401, "invalid_api_key", "You didn't provide an API key."),
    "bad_request": (400, "invalid_value", "The request is not valid."),
    "unknown_model": (404, "model_not_found", "The model does not exist or you do not have access to it."),
    "requests": (429, "rate_limit_exceeded", "Rate limit reached on requests per min (RPM)."),
    "tokens": (429, "rate_limit_exceeded", "Rate limit reached on tokens per min (TPM)."),
    "concurrent": (429, "slow_down", "Too many requests at once. Slow down."),
    "overloaded": (503, "server_is_overloaded", "The server is overloaded. Try again later."),
}
_CODES = {
    400: "invalid_value",
    401: "invalid_api_key",
    403: "unsupported_country_region_territory",
    404: "model_not_found",
    429: "rate_limit_exceeded",
    503: "server_is_overloaded",
}


class _OpenAIUrl(Lenient):
    url: str


class _OpenAIPart(Lenient):
    type: Literal["text", "image_url"]
    text: str = ""
    image_url: _OpenAIUrl | None = None


class _OpenAIMessage(Lenient):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_OpenAIPart] | None = None

    def turn(self) -> RequestMessage:
        if isinstance(self.content, str):
            return RequestMessage(self.role, (self.content,))
        parts = (part.text if part.image_url is None else picture(part.image_url.url) for part in self.content or ())
        return RequestMessage(self.role, tuple(parts))


class _StreamOptions(Lenient):
    include_usage: bool = False


class _OpenAIChatRequest(Lenient):
    model: str
    messages: list[_OpenAIMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)


class _OpenAIEmbeddingsRequest(Lenient):
    model: str
    input: str | list[str] = Field(min_length=1)
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1, le=4_096)

    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


def openai_routes(state: EmulatorState) -> list[web.RouteDef]:
    """Return the routes, bound to the shared state."""

    async def chat(request: web.Request) -> web.StreamResponse:
        return await converse(state, OpenAIChat(), request)

    async def embed(request: web.Request) -> web.StreamResponse:
        return await converse(state, OpenAIEmbeddings(), request)

    return [web.post(f"{PREFIX}/chat/completions", chat), web.post(f"{PREFIX}/embeddings", embed)]


class _OpenAIProtocol:
    """Errors and headers of both protocols."""

    refusal_words: tuple[str, ...] = ("I", "cannot", "help", "with", "that.")

    def refusal_response(
        self, refusal: VendorRefusal, parsed: ParsedRequest, limit_status: LimitStatus
    ) -> web.Response:
        status, code, message = _REASONS.get(refusal.reason, (500, "server_error", "The server had an error."))
        status = refusal.status or status
        if refusal.reason == "fault":
            code = refusal.code or _CODES.get(status, "server_error")
        body = error_body(status, refusal.code or code, refusal.message or message, refusal.param)
        if refusal.reason == "tokens":
            body["error"]["type"] = "tokens"
        headers = self.headers(limit_status)
        if refusal.retry_after_s is not None:
            headers |= {
                "retry-after": f"{max(1, round(refusal.retry_after_s))}",
                "retry-after-ms": f"{refusal.retry_after_s * 1_000:.0f}",
            }
        return web.json_response(body, status=status, headers=headers | refusal.headers)

    def headers(self, limit_status: LimitStatus) -> dict[str, str]:
        headers = {"x-request-id": f"req_{uuid.uuid4().hex}", "openai-version": "2020-10-01"}
        for name, gauge in (("requests", limit_status.requests), ("tokens", limit_status.tokens)):
            if gauge is not None:
                headers |= _rate_headers(name, gauge)
        return headers

    def overload(self) -> bytes:
        status, code, message = _REASONS["overloaded"]
        return _event(error_body(status, code, message)).data


class OpenAIChat(_OpenAIProtocol):
    """Chat completions."""

    def read(self, request: web.Request, body: Any) -> ParsedRequest:
        try:
            chat = _OpenAIChatRequest.model_validate(body)
            turns = tuple(message.turn() for message in chat.messages)
            content = measure(part for turn in turns for part in turn.parts)
        except ValidationError as error:
            return ParsedRequest(vendor=NAME, key=bearer(request.headers), wrong=invalid(error))
        if content is None:
            return ParsedRequest(vendor=NAME, model=chat.model, key=bearer(request.headers), wrong=BAD_IMAGE)
        return ParsedRequest(
            vendor=NAME,
            model=chat.model,
            key=bearer(request.headers),
            stream=chat.stream,
            content=content,
            turns=turns,
            max_tokens=chat.max_completion_tokens or chat.max_tokens,
            include_usage=chat.stream_options is not None and chat.stream_options.include_usage,
        )

    def response_body(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Any:
        refusal = answer.text if answer.end == "refused" else None
        content = None if refusal is not None or answer.end == "filtered" else answer.text
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal, "annotations": []}
        choice = {"index": 0, "message": message, "finish_reason": _finish(answer), "logprobs": None}
        usage = {} if answer.untold_usage else {"usage": _usage(answer.token_counts)}
        return _head("chat.completion", parsed) | {"choices": [choice]} | usage

    def frames(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Iterable[StreamFrame]:
        head = _head("chat.completion.chunk", parsed)
        # With usage asked for, every chunk but the last carries it as null.
        head |= {"usage": None} if parsed.include_usage else {}
        field = "refusal" if answer.end == "refused" else "content"
        yield _event(head | {"choices": [_choice({"role": "assistant", "content": "", "refusal": None})]})
        for index, word in enumerate(answer.words):
            yield _event(head | {"choices": [_choice({field: f" {word}" if index else word})]}, tokens=1)
        yield _event(head | {"choices": [_choice({}, _finish(answer))]})
        if parsed.include_usage and not answer.untold_usage:
            yield _event(head | {"choices": [], "usage": _usage(answer.token_counts)})
        yield StreamFrame(b"data: [DONE]\n\n")


class OpenAIEmbeddings(_OpenAIProtocol):
    """Embeddings of texts."""

    def read(self, request: web.Request, body: Any) -> ParsedRequest:
        try:
            embed = _OpenAIEmbeddingsRequest.model_validate(body)
        except ValidationError as error:
            return ParsedRequest(vendor=NAME, key=bearer(request.headers), wrong=invalid(error))
        row = rules_of(embed.model)
        default = row.dimensions or DIMENSIONS
        return parse_embedding(
            NAME,
            embed.model,
            bearer(request.headers),
            [[text] for text in embed.texts()],
            embed.dimensions or default,
            embed.encoding_format == "base64",
        )

    def response_body(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Any:
        rows = [
            {"object": "embedding", "index": index, "embedding": vector(content, parsed.dimensions, parsed.as_base64)}
            for index, content in enumerate(parsed.inputs)
        ]
        tokens = answer.token_counts.input_tokens
        usage = {} if answer.untold_usage else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
        return {"object": "list", "model": parsed.model, "data": rows} | usage

    def frames(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Iterable[StreamFrame]:
        # Embeddings are not streamed.
        return ()


def error_body(status: int, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    """Return OpenAI's error; `type` is its kind, and of a rate limit, the limit on requests."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    if code in _QUOTA:
        kind = code
    elif status == 429:
        kind = "requests"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _rate_headers(name: str, gauge: LimitGauge) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{name}": str(gauge.limit),
        f"x-ratelimit-remaining-{name}": str(gauge.remaining),
        f"x-ratelimit-reset-{name}": duration(gauge.reset_s),
    }


def duration(seconds: float) -> str:
    """Return a time as OpenAI's headers have it: `12ms`, `7.66s`, `6m0s`."""
    if seconds < 1:
        return f"{seconds * 1_000:.0f}ms"
    minutes, rest = divmod(round(seconds, 2), 60)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"


def _usage(token_counts: TokenCounts) -> dict[str, Any]:
    """OpenAI's input includes cached tokens, and its output reasoning tokens."""
    extras = token_counts.extras
    return {
        "prompt_tokens": token_counts.input_tokens,
        "completion_tokens": token_counts.output_tokens,
        "total_tokens": token_counts.input_tokens + token_counts.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": extras.cached_tokens,
            "cache_write_tokens": extras.cache_write_5m_tokens + extras.cache_write_1h_tokens,
            "image_tokens": token_counts.image_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": extras.thinking_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _finish(answer: GeneratedAnswer) -> str | None:
    return None if answer.end is None else _FINISH[answer.end]


def _head(kind: str, parsed: ParsedRequest) -> dict[str, Any]:
    number = f"chatcmpl-{parsed.content.digest.hex()}"
    return {"id": number, "object": kind, "created": CREATED_S, "model": parsed.model}


def _choice(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}


def _event(event: dict[str, Any], tokens: int = 0) -> StreamFrame:
    return StreamFrame(f"data: {json.dumps(event)}\n\n".encode(), tokens)
