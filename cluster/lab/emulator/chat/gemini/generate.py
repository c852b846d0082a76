"""Gemini's generateContent protocol, whole and as server-sent events, under /gemini/v1 and /gemini/v1beta."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from aiohttp import web

from cluster.lab.emulator.chat.gemini.errors import NAME, PREFIX, overload_body, refusal_response
from cluster.lab.emulator.chat.gemini.proto_json import InvalidArgument
from cluster.lab.emulator.chat.gemini.requests import GeminiRequest, parse
from cluster.lab.emulator.chat.gemini.thoughts import signature
from cluster.lab.emulator.core.answers import BROKEN_ARGUMENTS, GeneratedAnswer, TokenCounts
from cluster.lab.emulator.core.capacity import LimitStatus
from cluster.lab.emulator.core.protocol import StreamFrame, VendorRefusal, converse
from cluster.lab.emulator.core.request import EmulatorState, ParsedRequest, RequestProblem
from cluster.lab.emulator.core.tools import EmulatedToolCall

WORDS_A_CHUNK: Final = 8
"""Gemini sends few and large chunks where the others send one a token."""
TIER_HEADER: Final = "x-gemini-service-tier"
_FINISH: Final = {"stop": "STOP", "length": "MAX_TOKENS", "filtered": "SAFETY", "tool_calls": "STOP"}
_LOGPROB: Final = -0.1
"""The log probability of every emulated token."""
Json = dict[str, Any]


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
        if stream and request.query.get("alt") != "sse":
            wrong = RequestProblem("alt: the emulator streams server-sent events only")
            return ParsedRequest(vendor=NAME, model=model, key=key, stream=stream, wrong=wrong)
        try:
            return parse(body, model, key, stream)
        except InvalidArgument as refused:
            return ParsedRequest(vendor=NAME, model=model, key=key, stream=stream, wrong=refused.problem)

    def refusal_response(
        self, refusal: VendorRefusal, parsed: ParsedRequest, limit_status: LimitStatus
    ) -> web.Response:
        return refusal_response(refusal, parsed, limit_status)

    def headers(self, limit_status: LimitStatus) -> dict[str, str]:
        # Google says nothing of its limits until they are reached.
        return {}

    def answer_headers(self, answer: GeneratedAnswer) -> dict[str, str]:
        return {TIER_HEADER: answer.service_tier} if answer.service_tier is not None else {}

    def response_body(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Any:
        parts = [{"text": answer.text}] if answer.text else []
        parts += [_call_part(parsed, answer, call) for call in _whole_calls(answer)]
        usage = None if answer.unreported_usage else answer.token_counts
        return _response(parsed, answer, parts, answer.words, _finish(answer), usage)

    def frames(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Iterable[StreamFrame]:
        thought = answer.token_counts.extras.thinking_tokens
        sent = 0
        for parts, words, tokens in _chunks(parsed, answer):
            sent += tokens
            usage = answer.token_counts.with_output(sent + thought)
            if answer.usage_first:
                usage = answer.token_counts.with_output(0)
            reported = not answer.unreported_usage and (sent == tokens or not answer.usage_first)
            yield _event(_response(parsed, answer, parts, words, None, usage if reported else None), tokens)
        reported = not (answer.unreported_usage or (answer.usage_first and sent))
        yield _event(_response(parsed, answer, [], (), _finish(answer), answer.token_counts if reported else None))

    def overload(self) -> bytes:
        return _event(overload_body()).data


def _chunks(parsed: ParsedRequest, answer: GeneratedAnswer) -> Iterator[tuple[list[Json], tuple[str, ...], int]]:
    """Yield the parts of each chunk, its words and its tokens; a call is sent whole."""
    for start in range(0, len(answer.words), WORDS_A_CHUNK):
        words = answer.words[start : start + WORDS_A_CHUNK]
        text = " ".join(words) if start == 0 else " " + " ".join(words)
        yield [{"text": text}], words, len(words)
    for call in _whole_calls(answer):
        yield [_call_part(parsed, answer, call)], (), call.tokens


def _whole_calls(answer: GeneratedAnswer) -> tuple[EmulatedToolCall, ...]:
    """Return the calls whose arguments are JSON, because Gemini sends no other."""
    return tuple(call for call in answer.tool_calls if call.arguments_json() or call.arguments == "{}")


def _call_part(parsed: ParsedRequest, answer: GeneratedAnswer, call: EmulatedToolCall) -> Json:
    named = isinstance(parsed, GeminiRequest) and parsed.names_calls
    signed = isinstance(parsed, GeminiRequest) and parsed.signs_thoughts and call is answer.tool_calls[0]
    call_id = {"id": call.number} if named else {}
    part: Json = {"functionCall": call_id | {"name": call.name, "args": call.arguments_json()}}
    return part | ({"thoughtSignature": signature(call)} if signed else {})


def _response(
    parsed: ParsedRequest,
    answer: GeneratedAnswer,
    parts: list[Json],
    words: tuple[str, ...],
    finish: str | None,
    counts: TokenCounts | None,
) -> Json:
    head = {"modelVersion": parsed.model, "responseId": parsed.content.digest.hex()}
    usage = {} if counts is None else {"usageMetadata": _usage(counts)}
    if answer.end == "refused":
        return {"promptFeedback": {"blockReason": "SAFETY"}} | usage | head
    candidate: Json = {"index": 0}
    if parts or finish is None:
        candidate["content"] = {"role": "model", "parts": parts or [{"text": ""}]}
    if finish is not None:
        candidate["finishReason"] = finish
    if isinstance(parsed, GeminiRequest) and parsed.logprobs and words:
        candidate["logprobsResult"] = _logprobs(words, parsed.top_logprobs)
    return {"candidates": [candidate]} | usage | head


def _logprobs(words: tuple[str, ...], alternatives: int) -> Json:
    chosen = [{"token": word, "tokenId": index, "logProbability": _LOGPROB} for index, word in enumerate(words)]
    tops = [{"candidates": [token] * min(alternatives, 1)} for token in chosen]
    return {"chosenCandidates": chosen} | ({"topCandidates": tops} if alternatives else {})


def _finish(answer: GeneratedAnswer) -> str | None:
    if answer.end is None:
        return None
    if any(call.arguments == BROKEN_ARGUMENTS for call in answer.tool_calls):
        return "MALFORMED_FUNCTION_CALL"
    return _FINISH.get(answer.end)


def _usage(token_counts: TokenCounts) -> Json:
    """Gemini's prompt includes cached tokens; its candidates exclude thinking tokens. Zero counts are left out."""
    thoughts = token_counts.extras.thinking_tokens
    counts = {
        "promptTokenCount": token_counts.input_tokens,
        "cachedContentTokenCount": token_counts.extras.cached_tokens,
        "candidatesTokenCount": max(0, token_counts.output_tokens - thoughts),
        "thoughtsTokenCount": min(thoughts, token_counts.output_tokens),
        "totalTokenCount": token_counts.input_tokens + token_counts.output_tokens,
    }
    modalities = {"TEXT": token_counts.input_tokens - token_counts.image_tokens, "IMAGE": token_counts.image_tokens}
    details = [{"modality": name, "tokenCount": tokens} for name, tokens in modalities.items() if tokens]
    return {name: count for name, count in counts.items() if count} | {"promptTokensDetails": details}


def _event(event: Json, tokens: int = 0) -> StreamFrame:
    return StreamFrame(f"data: {json.dumps(event)}\r\n\r\n".encode(), tokens)
