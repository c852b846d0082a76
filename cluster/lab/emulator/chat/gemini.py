"""Gemini's generateContent protocol under /gemini/v1 and /gemini/v1beta."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from aiohttp import web
from pydantic import AliasGenerator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.aliases import AliasChoices

from cluster.lab.emulator.core.answers import GeneratedAnswer, TokenCounts
from cluster.lab.emulator.core.capacity import LimitStatus
from cluster.lab.emulator.core.content import Part, RequestMessage, measure
from cluster.lab.emulator.core.parsing import BAD_IMAGE, Lenient, from_base64, invalid
from cluster.lab.emulator.core.protocol import StreamFrame, VendorRefusal, converse
from cluster.lab.emulator.core.request import EmulatorState, ParsedRequest, RequestProblem

PREFIX = "/gemini/{version:v1|v1beta}"
NAME = "gemini"
WORDS_A_CHUNK = 8
"""Gemini sends few and large chunks where the others send one a token."""
_FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "filtered": "SAFETY"}
_REASONS: dict[str, tuple[int, str]] = {
    "no_key": (403, "Method doesn't allow unregistered callers. Please use API Key to call this API."),
    "bad_request": (400, "Request contains an invalid argument."),
    "unknown_model": (404, "The model is not found for this API version, or is not supported for generateContent."),
    "requests": (429, "You exceeded your current quota, please check your plan and billing details."),
    "tokens": (429, "You exceeded your current quota, please check your plan and billing details."),
    "concurrent": (429, "Resource has been exhausted (e.g. check quota)."),
    "overloaded": (503, "The model is overloaded. Please try again later."),
}
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_QUOTAS = {
    "requests": ("generate_content_free_tier_requests", "GenerateRequestsPerMinutePerProjectPerModel"),
    "tokens": ("generate_content_paid_tier_input_token_count", "GenerateContentInputTokensPerModelPerMinute"),
}


def _either(name: str) -> AliasChoices:
    """Google's servers read both spellings, and its own SDK sends both in one request."""
    return AliasChoices(name, to_camel(name))


class _GeminiModel(Lenient):
    model_config = ConfigDict(alias_generator=AliasGenerator(validation_alias=_either), extra="ignore", frozen=True)


class _GeminiBlob(_GeminiModel):
    mime_type: str
    data: str


class _GeminiFile(_GeminiModel):
    file_uri: str


class _GeminiPart(_GeminiModel):
    text: str = ""
    inline_data: _GeminiBlob | None = None
    file_data: _GeminiFile | None = None

    def part(self) -> Part:
        if self.inline_data is not None:
            return from_base64(self.inline_data.data)
        return self.text if self.file_data is None else self.file_data.file_uri.encode()


class _GeminiContents(_GeminiModel):
    parts: tuple[_GeminiPart, ...] = ()
    role: str = "user"

    def turn(self, role: str) -> RequestMessage:
        return RequestMessage(role, tuple(part.part() for part in self.parts))


class _GeminiConfig(_GeminiModel):
    max_output_tokens: int | None = Field(None, ge=1, validation_alias=_either("max_output_tokens"))


class _GeminiRequest(_GeminiModel):
    contents: list[_GeminiContents] = Field(min_length=1)
    system_instruction: _GeminiContents | None = None
    generation_config: _GeminiConfig = _GeminiConfig()

    def turns(self) -> Iterator[RequestMessage]:
        if self.system_instruction is not None:
            yield self.system_instruction.turn("system")
        yield from (content.turn(content.role) for content in self.contents)


def gemini_routes(state: EmulatorState) -> list[web.RouteDef]:
    """Return the routes, bound to the shared state."""
    protocol = GeminiContent()

    async def generate(request: web.Request) -> web.StreamResponse:
        return await converse(state, protocol, request)

    return [web.post(PREFIX + "/models/{model}:{method:generateContent|streamGenerateContent}", generate)]


class GeminiContent:
    """generateContent, whole and as server-sent events."""

    # A prompt that is blocked has no candidates: it has feedback.
    refusal_words: tuple[str, ...] = ()

    def read(self, request: web.Request, body: Any) -> ParsedRequest:
        model, stream = request.match_info["model"], request.match_info["method"] == "streamGenerateContent"
        key = request.headers.get("x-goog-api-key") or request.query.get("key") or None
        wrong = (
            RequestProblem("alt: the emulator streams server-sent events only")
            if stream and request.query.get("alt") != "sse"
            else None
        )
        try:
            generate = _GeminiRequest.model_validate(body)
        except ValidationError as error:
            return ParsedRequest(vendor=NAME, model=model, key=key, stream=stream, wrong=wrong or invalid(error))
        turns = tuple(generate.turns())
        content = measure(part for turn in turns for part in turn.parts)
        if content is None:
            return ParsedRequest(vendor=NAME, model=model, key=key, stream=stream, wrong=wrong or BAD_IMAGE)
        return ParsedRequest(
            vendor=NAME,
            model=model,
            key=key,
            stream=stream,
            content=content,
            turns=turns,
            max_tokens=generate.generation_config.max_output_tokens,
            wrong=wrong,
        )

    def refusal_response(
        self, refusal: VendorRefusal, parsed: ParsedRequest, limit_status: LimitStatus
    ) -> web.Response:
        status, message = _REASONS.get(refusal.reason, (500, "An internal error has occurred."))
        status = refusal.status or status
        body = error_body(status, refusal.code, refusal.message or message)
        details = _details(refusal, status, parsed, limit_status)
        if details:
            body["error"]["details"] = details
        return web.json_response(body, status=status, headers=refusal.headers)

    def headers(self, limit_status: LimitStatus) -> dict[str, str]:
        # Google says nothing of its limits until they are reached.
        return {}

    def response_body(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Any:
        return _response(parsed, answer, answer.text, _finish(answer), answer.token_counts)

    def frames(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Iterable[StreamFrame]:
        extras = answer.token_counts.extras
        for start in range(0, len(answer.words), WORDS_A_CHUNK):
            words = answer.words[start : start + WORDS_A_CHUNK]
            text = " ".join(words) if start == 0 else " " + " ".join(words)
            so_far = start + len(words) + extras.thinking_tokens
            yield _event(_response(parsed, answer, text, None, answer.token_counts.with_output(so_far)), len(words))
        yield _event(_response(parsed, answer, "", _finish(answer), answer.token_counts))

    def overload(self) -> bytes:
        return _event(error_body(*_overloaded())).data


def _overloaded() -> tuple[int, None, str]:
    status, message = _REASONS["overloaded"]
    return status, None, message


def error_body(status: int, code: str | None, message: str) -> dict[str, Any]:
    """Return Google's error; a code that is no status of its own belongs to the details."""
    name = code if code in _STATUSES.values() else _STATUSES.get(status, "UNKNOWN")
    return {"error": {"code": status, "message": message, "status": name}}


def _details(
    refusal: VendorRefusal, status: int, parsed: ParsedRequest, limit_status: LimitStatus
) -> list[dict[str, Any]]:
    details = []
    if status == 429:
        details.append(_quota_failure(refusal, parsed, limit_status))
    elif refusal.code is not None and refusal.code not in _STATUSES.values():
        domain = "googleapis.com"
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": refusal.code, "domain": domain})
    if refusal.retry_after_s is not None:
        delay = f"{refusal.retry_after_s:.9f}".rstrip("0").rstrip(".")
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{delay}s"})
    return details


def _quota_failure(refusal: VendorRefusal, parsed: ParsedRequest, limit_status: LimitStatus) -> dict[str, Any]:
    """Say which quota is spent; a fault's code names one, such as that of a whole day."""
    metric, quota = _QUOTAS["tokens" if refusal.reason == "tokens" else "requests"]
    if refusal.code is not None and refusal.code not in _STATUSES.values():
        quota = refusal.code
    gauge = limit_status.tokens if refusal.reason == "tokens" else limit_status.requests
    violation = {
        "quotaMetric": f"generativelanguage.googleapis.com/{metric}",
        "quotaId": quota,
        "quotaDimensions": {"location": "global", "model": parsed.model},
    }
    value = {} if gauge is None else {"quotaValue": str(gauge.limit)}
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation | value]}


def _response(
    parsed: ParsedRequest, answer: GeneratedAnswer, text: str, finish: str | None, token_counts: TokenCounts
) -> dict[str, Any]:
    head = {"modelVersion": parsed.model, "responseId": parsed.content.digest.hex()}
    usage = {} if answer.untold_usage else {"usageMetadata": _usage(token_counts)}
    if answer.end == "refused":
        return {"promptFeedback": {"blockReason": "SAFETY"}} | usage | head
    candidate: dict[str, Any] = {"index": 0}
    if text or finish is None:
        candidate["content"] = {"role": "model", "parts": [{"text": text}]}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate]} | usage | head


def _finish(answer: GeneratedAnswer) -> str | None:
    return None if answer.end is None else _FINISH.get(answer.end)


def _usage(token_counts: TokenCounts) -> dict[str, Any]:
    """Gemini's prompt includes cached tokens; its candidates exclude thinking tokens. Zero counts are left out."""
    thoughts = token_counts.extras.thinking_tokens
    counts = {
        "promptTokenCount": token_counts.input_tokens,
        "cachedContentTokenCount": token_counts.extras.cached_tokens,
        "candidatesTokenCount": token_counts.output_tokens - thoughts,
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": token_counts.input_tokens + token_counts.output_tokens,
    }
    modalities = {"TEXT": token_counts.input_tokens - token_counts.image_tokens, "IMAGE": token_counts.image_tokens}
    details = [{"modality": name, "tokenCount": tokens} for name, tokens in modalities.items() if tokens]
    return {name: count for name, count in counts.items() if count} | {"promptTokensDetails": details}


def _event(event: dict[str, Any], tokens: int = 0) -> StreamFrame:
    return StreamFrame(f"data: {json.dumps(event)}\r\n\r\n".encode(), tokens)
