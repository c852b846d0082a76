"""Anthropic's Messages API: requests read, and answers written whole or as events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from cluster.lab.emulator.chat.anthropic.checks import AnthropicRefusal, check_limits, read_body
from cluster.lab.emulator.chat.anthropic.contents import check_contents
from cluster.lab.emulator.chat.anthropic.errors import NAME, AnthropicProtocol, event
from cluster.lab.emulator.chat.anthropic.images import check_images
from cluster.lab.emulator.chat.anthropic.prompt_prefix import cache_points, check_breakpoints, parts_of
from cluster.lab.emulator.chat.anthropic.request_schema import (
    InputMessage,
    MessagesRequest,
    ToolResultBlock,
    ToolUseBlock,
)
from cluster.lab.emulator.chat.anthropic.signatures import check_signatures, conversation_of, signature_of
from cluster.lab.emulator.chat.anthropic.thinking_rules import check_thinking, thought_tokens
from cluster.lab.emulator.chat.anthropic.tool_rules import check_format, read_tools
from cluster.lab.emulator.core.answers import GeneratedAnswer, TokenCounts
from cluster.lab.emulator.core.content import RequestContent, RequestMessage, measure
from cluster.lab.emulator.core.model_rules import ModelRules, image_tokens, rules_of
from cluster.lab.emulator.core.parsing import bearer
from cluster.lab.emulator.core.protocol import StreamFrame
from cluster.lab.emulator.core.request import ParsedRequest
from cluster.lab.emulator.core.tools import EmulatedToolCall

_STOP = {
    "stop": "end_turn",
    "length": "max_tokens",
    "refused": "refusal",
    "filtered": "refusal",
    "tool_calls": "tool_use",
}
EXPLANATION = "The emulator declines this request."


@dataclass(frozen=True, slots=True, kw_only=True)
class AnthropicRequest(ParsedRequest):
    """A parsed request, with the digest of its conversation to which thinking is bound."""

    conversation: str = ""


class AnthropicMessages(AnthropicProtocol):
    """The Messages API."""

    def read(self, request: web.Request, body: Any) -> ParsedRequest:
        key = bearer(request.headers) or request.headers.get("x-api-key") or None
        try:
            return _parsed(read_body(body, request.headers.get("anthropic-version")), key)
        except AnthropicRefusal as refused:
            fields = body if isinstance(body, Mapping) else {}
            model = fields["model"] if isinstance(fields.get("model"), str) else ""
            stream = fields.get("stream") is True
            return ParsedRequest(vendor=NAME, model=model, key=key, stream=stream, wrong=refused.problem)

    def response_body(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Any:
        content: list[dict[str, Any]] = []
        if answer.token_counts.extras.thinking_tokens:
            content.append({"type": "thinking", "thinking": "", "signature": _signature(parsed)})
        if answer.words:
            content.append({"type": "text", "text": answer.text, "citations": None})
        content += [_call(call) | {"input": call.arguments_json()} for call in answer.tool_calls]
        usage = {} if answer.unreported_usage else {"usage": _usage(answer)}
        return _message(parsed, content) | _stopped(answer) | usage

    def frames(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Iterable[StreamFrame]:
        # The input is known when the stream begins; the output is reported at its end, counted from the beginning.
        begun = {} if answer.unreported_usage else {"usage": _usage(answer) | {"output_tokens": 1}}
        started = _message(parsed, []) | {"stop_reason": None, "stop_sequence": None} | begun
        yield event("message_start", message=started)
        yield event("ping")
        for index, block in enumerate(_blocks(parsed, answer)):
            begin, pieces = block
            yield event("content_block_start", index=index, content_block=begin)
            for delta, tokens in pieces:
                yield event("content_block_delta", tokens=tokens, index=index, delta=delta)
            yield event("content_block_stop", index=index)
        reported = not (answer.unreported_usage or answer.usage_first)
        ended: dict[str, Any] = {"usage": _usage_at_the_end(answer)} if reported else {}
        yield event("message_delta", delta=_stopped(answer), **ended)
        yield event("message_stop")


def _parsed(request: MessagesRequest, key: str | None) -> AnthropicRequest:
    rules = rules_of(request.model)
    check_limits(request, rules)
    check_contents(request, rules)
    check_thinking(request, rules)
    tools = read_tools(request)
    check_format(request)
    check_breakpoints(request)
    check_images(request)
    check_signatures(request)
    turns = tuple(_turns(request))
    requested, thinking_tokens = request.output_config.format, thought_tokens(request, rules)
    texts = [tool.text for tool in tools.tools] + ([str(requested.schema_)] if requested is not None else [])
    content = measure([*texts, *(part for turn in turns for part in turn.parts)]) or RequestContent()
    _check_length(content, rules)
    return AnthropicRequest(
        vendor=NAME,
        model=request.model,
        key=key,
        stream=request.stream,
        content=content,
        turns=turns,
        max_tokens=request.max_tokens,
        thinking_tokens=thinking_tokens,
        tools=tools,
        response_schema=requested.schema_ if requested is not None else None,
        stop=tuple(request.stop_sequences),
        service_tier="standard",
        cache_points=cache_points(request, rules),
        conversation=conversation_of(request, request.messages) if thinking_tokens else "",
    )


def _turns(request: MessagesRequest) -> Iterator[RequestMessage]:
    if request.system_blocks:
        yield RequestMessage("system", tuple(part for block in request.system_blocks for part in parts_of(block)))
    yield from map(_turn, request.messages)


def _turn(message: InputMessage) -> RequestMessage:
    blocks = message.blocks
    return RequestMessage(
        message.role,
        tuple(part for block in blocks for part in parts_of(block)),
        tuple(block.id for block in blocks if isinstance(block, ToolUseBlock)),
        tuple(block.tool_use_id for block in blocks if isinstance(block, ToolResultBlock)),
    )


def _check_length(content: RequestContent, rules: ModelRules) -> None:
    tokens = content.text_tokens + image_tokens(NAME, rules.name, content)
    if rules.context_tokens is not None and tokens > rules.context_tokens:
        raise AnthropicRefusal(f"prompt is too long: {tokens} tokens > {rules.context_tokens} maximum")


_Pieces = Iterator[tuple[dict[str, Any], int]]


def _blocks(parsed: ParsedRequest, answer: GeneratedAnswer) -> Iterator[tuple[dict[str, Any], _Pieces]]:
    """Yield each block of an answer as it begins, and its deltas with their tokens."""
    if answer.token_counts.extras.thinking_tokens:
        signed = {"type": "signature_delta", "signature": _signature(parsed)}
        yield {"type": "thinking", "thinking": "", "signature": ""}, iter([(signed, 0)])
    if answer.words:
        yield {"type": "text", "text": "", "citations": None}, _words(answer.words)
    for call in answer.tool_calls:
        yield _call(call) | {"input": {}}, _arguments(call)


def _words(words: tuple[str, ...]) -> _Pieces:
    for index, word in enumerate(words):
        yield {"type": "text_delta", "text": f" {word}" if index else word}, 1


def _arguments(call: EmulatedToolCall) -> _Pieces:
    yield {"type": "input_json_delta", "partial_json": ""}, 1
    # A call without arguments has no more pieces.
    for piece in call.pieces if call.arguments != "{}" else ():
        yield {"type": "input_json_delta", "partial_json": piece}, 1


def _call(call: EmulatedToolCall) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{call.number}", "name": call.name}


def _signature(parsed: ParsedRequest) -> str:
    conversation = parsed.conversation if isinstance(parsed, AnthropicRequest) else ""
    return signature_of(parsed.model, conversation, "")


def _usage(answer: GeneratedAnswer) -> dict[str, Any]:
    extras = answer.token_counts.extras
    return _usage_at_the_end(answer) | {
        "cache_creation": {
            "ephemeral_5m_input_tokens": extras.cache_write_5m_tokens,
            "ephemeral_1h_input_tokens": extras.cache_write_1h_tokens,
        },
        "service_tier": answer.service_tier,
    }


def _usage_at_the_end(answer: GeneratedAnswer) -> dict[str, Any]:
    """Anthropic's input excludes tokens read from and written to the cache; its output includes thinking tokens."""
    counts: TokenCounts = answer.token_counts
    extras = counts.extras
    written = extras.cache_write_5m_tokens + extras.cache_write_1h_tokens
    return {
        "input_tokens": counts.input_tokens - extras.cached_tokens - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": extras.cached_tokens,
        "output_tokens": counts.output_tokens,
        "output_tokens_details": {"thinking_tokens": extras.thinking_tokens},
    }


def _message(parsed: ParsedRequest, content: list[dict[str, Any]]) -> dict[str, Any]:
    number = f"msg_{parsed.content.digest.hex()}"
    return {"id": number, "type": "message", "role": "assistant", "model": parsed.model, "content": content}


def _stopped(answer: GeneratedAnswer) -> dict[str, Any]:
    reason = None if answer.end is None else _STOP[answer.end]
    if answer.stop_sequence is not None and answer.end == "stop":
        reason = "stop_sequence"
    explanation = EXPLANATION if answer.end == "refused" else None
    details = {"type": "refusal", "category": None, "explanation": explanation} if reason == "refusal" else None
    return {"stop_reason": reason, "stop_sequence": answer.stop_sequence, "stop_details": details}
