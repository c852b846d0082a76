"""Answers of Anthropic's Messages API: the events of a stream."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from deployments.providers.anthropic.thinking import TYPES, ConversationDigest, sign
from deployments.providers.base import system_text
from deployments.providers.usage import from_anthropic
from routing.catalogue import Model
from routing.chat import ToolCallDelta
from routing.models import Delta, Finish, ModelRequest, Usage

Json = dict[str, Any]
_FINISH: dict[str, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    # The turn is to be continued by another request, so the answer is unfinished.
    "pause_turn": "length",
    "refusal": "refusal",
    "tool_use": "tool_calls",
}


def _signature(model: Model, request: ModelRequest, thoughts: Sequence[Json]) -> str | None:
    if not thoughts:
        return None
    digest = ConversationDigest(system_text(request), request.options.tools)
    for message in request.messages:
        if message.role != "system":
            digest.add(message)
    return sign(model.vendor_name, digest.value, thoughts)


class MessageEventReader:
    """Reads the events of one stream."""

    def __init__(self, model: Model, request: ModelRequest) -> None:
        self._model, self._request = model, request
        self._usage: Usage | None = None
        self._tier: str | None = None
        self._block: Json = {}
        self._thoughts: list[Json] = []
        self._calls = 0
        self._spoke = False

    def read(self, event: Json) -> Delta | None:
        """Return the part of the answer in an event, or the usage so far; None if it has neither."""
        kind = event.get("type")
        if kind == "message_start":
            usage = event["message"].get("usage")
            self._usage, self._tier = from_anthropic(usage), _tier(usage)
            if self._usage is not None:
                # Its output tokens are those of the beginning, and count nothing of the answer.
                return Delta(usage_so_far=replace(self._usage, output_tokens=0, thinking_tokens=0))
        elif kind == "content_block_start":
            return self._begun(event["content_block"])
        elif kind == "content_block_delta":
            return self._piece(event["delta"])
        elif kind == "content_block_stop":
            return self._stopped()
        elif kind == "message_delta":
            return self._ended(event)
        return None

    def _begun(self, block: Json) -> Delta | None:
        self._block = dict(block)
        if block["type"] == "text":
            return self._text(block.get("text") or "")
        if block["type"] != "tool_use":
            return None
        signature, self._thoughts = _signature(self._model, self._request, self._thoughts), []
        # Some servers send the whole input at once.
        given = block.get("input")
        self._block["arguments"] = json.dumps(given, ensure_ascii=False) if given else ""
        self._calls += 1
        return self._call(
            call_id=block["id"], name=block["name"], arguments=self._block["arguments"], signature=signature
        )

    def _piece(self, delta: Json) -> Delta | None:
        kind = delta["type"]
        if kind == "text_delta":
            return self._text(delta["text"])
        if kind == "input_json_delta" and delta["partial_json"]:
            self._block["arguments"] = "sent"
            return self._call(arguments=delta["partial_json"])
        if kind == "thinking_delta":
            self._block["thinking"] = self._block.get("thinking", "") + delta["thinking"]
            return Delta(thinking_bytes=len(delta["thinking"].encode("utf-8", "replace")))
        elif kind == "signature_delta":
            self._block["signature"] = delta["signature"]
        return None

    def _stopped(self) -> Delta | None:
        block, self._block = self._block, {}
        if block.get("type") in TYPES:
            self._thoughts.append(block)
        if block.get("type") == "tool_use" and not block["arguments"]:
            # A call without arguments is an empty object.
            return self._call(arguments="{}")
        return None

    def _ended(self, event: Json) -> Delta:
        delta, usage = event["delta"], event.get("usage")
        finish = _finish(delta.get("stop_reason"))
        return Delta(
            text=_explanation(delta) if finish == "refusal" and not self._spoke else "",
            finish=finish,
            usage=from_anthropic(usage, self._usage) if (usage or {}).get("output_tokens") is not None else None,
            service_tier=_tier(usage) or self._tier,
        )

    def _text(self, text: str) -> Delta | None:
        self._spoke = self._spoke or bool(text)
        return Delta(text=text) if text else None

    def _call(self, **fields: Any) -> Delta:
        return Delta(tool_calls=(ToolCallDelta(index=self._calls - 1, **fields),))


def _finish(reason: str | None) -> Finish | None:
    return _FINISH.get(reason, "stop") if reason else None


def _explanation(message: Json) -> str:
    """Return the vendor's explanation of a refusal, where it gives one."""
    return (message.get("stop_details") or {}).get("explanation") or ""


def _tier(usage: Json | None) -> str | None:
    return (usage or {}).get("service_tier")
