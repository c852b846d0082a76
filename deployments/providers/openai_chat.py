"""Chat completions in OpenAI's form: the body of a request, and the answer in its completion or its chunks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pybase64

from deployments.providers.base import output_limit
from deployments.providers.call_ids import accepted_call_id
from deployments.providers.usage import from_openai
from routing.capabilities import IMAGE_DETAIL
from routing.catalogue import Model
from routing.chat import ChatOptions, Image, Message, ResponseFormat, Tool, ToolCallDelta, ToolChoice
from routing.errors import ProviderRefused
from routing.models import Delta, Finish, ModelRequest, Usage

Json = dict[str, Any]
PATH: Final = "/chat/completions"
LONGEST_CALL_ID: Final = 40
"""OpenAI answers 400 `string_above_max_length` for a longer one; BerriAI/litellm issue 17343, read 2026-11-30."""
_FINISH: dict[str, Finish] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "refusal",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
_PLAIN: Final = (
    "temperature",
    "top_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
    "top_logprobs",
    "verbosity",
    "service_tier",
)
"""Options that have the same name and the same form in both."""


def chat_body(model: Model, request: ModelRequest, output_limit_field: str) -> Json:
    """Return the body of a request. An option that was not given is not sent: a compatible server may not accept it."""
    body: Json = {
        "model": model.vendor_name,
        "messages": [_message(message, model.capabilities.accepts(IMAGE_DETAIL)) for message in request.messages],
        output_limit_field: output_limit(model, request),
    }
    if request.effort is not None:
        body["reasoning_effort"] = request.effort
    return body | _options(request.options)


def _options(options: ChatOptions) -> Json:
    given: Json = {name: value for name in _PLAIN if (value := getattr(options, name)) is not None}
    if options.stop:
        given["stop"] = list(options.stop)
    if options.logit_bias is not None:
        given["logit_bias"] = dict(options.logit_bias)
    if options.response_format is not None:
        given["response_format"] = _format(options.response_format)
    if options.tools:
        given["tools"] = [{"type": "function", "function": function_fields(tool)} for tool in options.tools]
        # Without tools OpenAI refuses both.
        if options.tool_choice is not None:
            given["tool_choice"] = _choice(options.tool_choice)
        if options.parallel_tool_calls is not None:
            given["parallel_tool_calls"] = options.parallel_tool_calls
    return given


def function_fields(tool: Tool) -> Json:
    """Return a tool's definition without the fields that it lacks."""
    fields: Json = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {name: value for name, value in (fields | {"strict": tool.strict}).items() if value is not None}


def format_fields(requested: ResponseFormat) -> Json:
    """Return the name, the schema and the other fields of a `json_schema`, without those that it lacks."""
    fields: Json = {"name": requested.name, "description": requested.description, "schema": requested.schema}
    return {name: value for name, value in (fields | {"strict": requested.strict}).items() if value is not None}


def _format(requested: ResponseFormat) -> Json:
    if requested.type != "json_schema":
        return {"type": requested.type}
    return {"type": "json_schema", "json_schema": format_fields(requested)}


def _choice(choice: ToolChoice) -> str | Json:
    return choice.mode if choice.mode != "function" else {"type": "function", "function": {"name": choice.name}}


def _message(message: Message, with_detail: bool) -> Json:
    if message.role == "tool":
        if message.images:
            reason = "Chat completions take no image in the result of a tool."
            raise ProviderRefused(param="messages", reason=reason, vendor_param="messages")
        call_id = accepted_call_id(message.tool_call_id or "", LONGEST_CALL_ID)
        return {"role": "tool", "tool_call_id": call_id, "content": message.text}
    if not message.tool_calls:
        return {"role": message.role, "content": _content(message, with_detail)}
    calls = [
        {
            "id": accepted_call_id(call.call_id, LONGEST_CALL_ID),
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in message.tool_calls
    ]
    return {"role": message.role, "content": _content(message, with_detail) or None, "tool_calls": calls}


def _content(message: Message, with_detail: bool) -> str | list[Json]:
    if not message.images:
        return message.text
    return [_part(part, with_detail) for part in message.content if part]


def _part(part: str | Image, with_detail: bool) -> Json:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    # Where the rules of the model lack it, an image of low detail was scaled down before (`image_conversion`).
    detail = {"detail": part.detail} if with_detail and part.detail != "auto" else {}
    return {"type": "image_url", "image_url": {"url": data_url(part)} | detail}


def data_url(image: Image) -> str:
    return f"data:{image.media_type};base64," + pybase64.b64encode_as_string(image.data)


def _arguments(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else "" if arguments is None else json.dumps(arguments)


def _finish(reason: str | None, refused: bool, called: bool) -> Finish | None:
    finish = _FINISH.get(reason, "stop") if reason else None
    if finish is not None and refused:
        return "refusal"
    # A forced tool, and some compatible servers, end with `stop`.
    return "tool_calls" if called and finish == "stop" else finish


class ChunkReader:
    """Reads the chunks of one stream."""

    def __init__(self) -> None:
        self._refused = False
        self._finish: Finish | None = None
        self._usage: Usage | None = None
        self._indexes: dict[Any, int] = {}
        self._thinking_bytes = 0

    def deltas(self, chunks: Iterable[Json]) -> tuple[Delta]:
        """Return the one delta of chunks that arrived together."""
        return (self.read(chunks),)

    def read(self, chunks: Iterable[Json]) -> Delta:
        """Return the chunks that arrived together as one delta."""
        texts, logprobs, calls = list[str](), list[Mapping[str, Any]](), list[ToolCallDelta]()
        tier: str | None = None
        self._thinking_bytes = 0
        for chunk in chunks:
            tier = chunk.get("service_tier") or tier
            for choice in (chunk.get("choices") or ())[:1]:
                self._read_choice(choice, texts, calls, logprobs)
            if chunk.get("usage"):
                self._usage = from_openai(chunk["usage"])
        return Delta(
            text="".join(texts),
            tool_calls=tuple(calls),
            logprobs=_joined(logprobs),
            finish=self._finish,
            # Before the end a count is that of the beginning, or of the tokens so far.
            usage=self._usage if self._finish else None,
            usage_so_far=None if self._finish else self._usage,
            thinking_bytes=self._thinking_bytes,
            service_tier=tier,
        )

    def _read_choice(
        self, choice: Json, texts: list[str], calls: list[ToolCallDelta], logprobs: list[Mapping[str, Any]]
    ) -> None:
        said = choice.get("delta") or {}
        text = said.get("content") or said.get("refusal") or ""
        self._thinking_bytes += len(_thought(said).encode("utf-8", "replace"))
        pieces = [self._piece(piece, position) for position, piece in enumerate(said.get("tool_calls") or ())]
        if text or pieces:
            self._usage = None
        self._refused = self._refused or bool(said.get("refusal"))
        texts.append(text)
        calls += pieces
        if choice.get("logprobs"):
            logprobs.append(choice["logprobs"])
        finish = _finish(choice.get("finish_reason"), self._refused, bool(self._indexes))
        self._finish = finish or self._finish

    def _piece(self, piece: Json, position: int) -> ToolCallDelta:
        """Return a piece of a call. The id and the name are in its first one, though some servers repeat them."""
        function = piece.get("function") or {}
        key = piece.get("id") or position if piece.get("index") is None else piece["index"]
        first = key not in self._indexes
        index = self._indexes.setdefault(key, len(self._indexes))
        return ToolCallDelta(
            index=index,
            call_id=(piece.get("id") or f"call_{index}") if first else None,
            name=function.get("name") if first else None,
            arguments=_arguments(function.get("arguments")),
        )


def _thought(said: Json) -> str:
    """Return the thinking text of a delta; OpenAI sends none, and compatible servers have two names for it."""
    thought = said.get("reasoning_content") or said.get("reasoning") or ""
    return thought if isinstance(thought, str) else ""


def _joined(logprobs: list[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return log probabilities of several chunks as those of one: the lists of tokens, joined by their fields."""
    if len(logprobs) < 2:
        return logprobs[0] if logprobs else None
    names = dict.fromkeys(name for one in logprobs for name in one)
    lists = {name: [one[name] for one in logprobs if one.get(name)] for name in names}
    return {name: [token for tokens in found for token in tokens] if found else None for name, found in lists.items()}
