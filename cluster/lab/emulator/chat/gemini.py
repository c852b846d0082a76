"""Speaks Gemini's generateContent protocol under /gemini/v1 and /gemini/v1beta."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from aiohttp import web
from pydantic import AliasGenerator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.aliases import AliasChoices

from cluster.lab.emulator.core.capacity import LimitStatus
from cluster.lab.emulator.core.content import GeneratedAnswer, Part, RequestMessage, TokenCounts, measure
from cluster.lab.emulator.core.parsing import BAD_IMAGE, Lenient, first_wrong, from_base64
from cluster.lab.emulator.core.protocol import StreamFrame, VendorRefusal, converse
from cluster.lab.emulator.core.request import EmulatorState, ParsedRequest

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


class _Lenient(Lenient):
    model_config = ConfigDict(alias_generator=AliasGenerator(validation_alias=_either), extra="ignore", frozen=True)


class _Blob(_Lenient):
    mime_type: str
    data: str


class _File(_Lenient):
    file_uri: str


class _Part(_Lenient):
    text: str = ""
    inline_data: _Blob | None = None
    file_data: _File | None = None

    def part(self) -> Part:
        if self.inline_data is not None:
            return from_base64(self.inline_data.data)
        return self.text if self.file_data is None else self.file_data.file_uri.encode()


class _Content(_Lenient):
    parts: tuple[_Part, ...] = ()
    role: str = "user"

    def turn(self, role: str) -> RequestMessage:
        return RequestMessage(role, tuple(part.part() for part in self.parts))


class _Config(_Lenient):
    max_output_tokens: int | None = Field(None, ge=1, validation_alias=_either("max_output_tokens"))


class _Request(_Lenient):
    contents: list[_Content] = Field(min_length=1)
    system_instruction: _Content | None = None
    generation_config: _Config = _Config()

    def turns(self) -> Iterator[RequestMessage]:
        if self.system_instruction is not None:
            yield self.system_instruction.turn("system")
        yield from (content.turn(content.role) for content in self.contents)


def gemini_routes(house: EmulatorState) -> list[web.RouteDef]:
    """Return the routes, bound to what all requests share."""
    dialect = GeminiContent()

    async def generate(request: web.Request) -> web.StreamResponse:
        return await converse(house, dialect, request)

    return [web.post(PREFIX + "/models/{model}:{method:generateContent|streamGenerateContent}", generate)]


class GeminiContent:
    """generateContent, whole and as server-sent events."""

    # A prompt that is blocked has no candidates: it has feedback.
    declines_with: tuple[str, ...] = ()

    def read(self, request: web.Request, body: Any) -> ParsedRequest:
        model, stream = request.match_info["model"], request.match_info["method"] == "streamGenerateContent"
        key = request.headers.get("x-goog-api-key") or request.query.get("key") or None
        wrong = (
            "alt: the emulator streams server-sent events only"
            if stream and request.query.get("alt") != "sse"
            else None
        )
        try:
            asked = _Request.model_validate(body)
        except ValidationError as error:
            return ParsedRequest(vendor=NAME, model=model, key=key, stream=stream, wrong=wrong or first_wrong(error))
        turns = tuple(asked.turns())
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
            most_tokens=asked.generation_config.max_output_tokens,
            wrong=wrong,
        )

    def refused(self, refusal: VendorRefusal, asked: ParsedRequest, standing: LimitStatus) -> web.Response:
        status, message = _REASONS.get(refusal.reason, (500, "An internal error has occurred."))
        status = refusal.status or status
        body = error_body(status, refusal.code, refusal.message or message)
        details = _details(refusal, status, asked, standing)
        if details:
            body["error"]["details"] = details
        return web.json_response(body, status=status, headers=refusal.headers)

    def headers(self, standing: LimitStatus) -> dict[str, str]:
        # Google says nothing of its limits until they are reached.
        return {}

    def whole(self, asked: ParsedRequest, said: GeneratedAnswer) -> Any:
        return _response(asked, said, said.text, _finish(said), said.counted)

    def frames(self, asked: ParsedRequest, said: GeneratedAnswer) -> Iterable[StreamFrame]:
        extras = said.counted.extras
        for start in range(0, len(said.words), WORDS_A_CHUNK):
            words = said.words[start : start + WORDS_A_CHUNK]
            text = " ".join(words) if start == 0 else " " + " ".join(words)
            so_far = start + len(words) + extras.thinking_tokens
            yield _event(_response(asked, said, text, None, said.counted.with_output(so_far)), len(words))
        yield _event(_response(asked, said, "", _finish(said), said.counted))

    def overload(self) -> bytes:
        return _event(error_body(*_overloaded())).data


def _overloaded() -> tuple[int, None, str]:
    status, message = _REASONS["overloaded"]
    return status, None, message


def error_body(status: int, code: str | None, message: str) -> dict[str, Any]:
    """Return Google's error; a code that is no status of its own belongs to the details."""
    name = code if code in _STATUSES.values() else _STATUSES.get(status, "UNKNOWN")
    return {"error": {"code": status, "message": message, "status": name}}


def _details(refusal: VendorRefusal, status: int, asked: ParsedRequest, standing: LimitStatus) -> list[dict[str, Any]]:
    details = []
    if status == 429:
        details.append(_quota_failure(refusal, asked, standing))
    elif refusal.code is not None and refusal.code not in _STATUSES.values():
        domain = "googleapis.com"
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": refusal.code, "domain": domain})
    if refusal.retry_after_s is not None:
        delay = f"{refusal.retry_after_s:.9f}".rstrip("0").rstrip(".")
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{delay}s"})
    return details


def _quota_failure(refusal: VendorRefusal, asked: ParsedRequest, standing: LimitStatus) -> dict[str, Any]:
    """Say which quota is spent; a fault's code names one, such as that of a whole day."""
    metric, quota = _QUOTAS["tokens" if refusal.reason == "tokens" else "requests"]
    if refusal.code is not None and refusal.code not in _STATUSES.values():
        quota = refusal.code
    gauge = standing.tokens if refusal.reason == "tokens" else standing.requests
    violation = {
        "quotaMetric": f"generativelanguage.googleapis.com/{metric}",
        "quotaId": quota,
        "quotaDimensions": {"location": "global", "model": asked.model},
    }
    value = {} if gauge is None else {"quotaValue": str(gauge.limit)}
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation | value]}


def _response(
    asked: ParsedRequest, said: GeneratedAnswer, text: str, finish: str | None, counted: TokenCounts
) -> dict[str, Any]:
    head = {"modelVersion": asked.model, "responseId": asked.content.digest.hex()}
    usage = {} if said.untold_usage else {"usageMetadata": _usage(counted)}
    if said.end == "refused":
        return {"promptFeedback": {"blockReason": "SAFETY"}} | usage | head
    candidate: dict[str, Any] = {"index": 0}
    if text or finish is None:
        candidate["content"] = {"role": "model", "parts": [{"text": text}]}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate]} | usage | head


def _finish(said: GeneratedAnswer) -> str | None:
    return None if said.end is None else _FINISH.get(said.end)


def _usage(counted: TokenCounts) -> dict[str, Any]:
    """Gemini's prompt holds what was cached; its candidates do not hold what was thought. What is zero is left out."""
    thoughts = counted.extras.thinking_tokens
    counts = {
        "promptTokenCount": counted.input_tokens,
        "cachedContentTokenCount": counted.extras.cached_tokens,
        "candidatesTokenCount": counted.output_tokens - thoughts,
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": counted.input_tokens + counted.output_tokens,
    }
    modalities = {"TEXT": counted.input_tokens - counted.image_tokens, "IMAGE": counted.image_tokens}
    details = [{"modality": name, "tokenCount": tokens} for name, tokens in modalities.items() if tokens]
    return {name: count for name, count in counts.items() if count} | {"promptTokensDetails": details}


def _event(event: dict[str, Any], tokens: int = 0) -> StreamFrame:
    return StreamFrame(f"data: {json.dumps(event)}\r\n\r\n".encode(), tokens)
