"""Parts of a request that chat completions and responses share: reading, content, length, effort and service tier."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from cluster.lab.emulator.chat.openai.checks import InvalidRequest
from cluster.lab.emulator.chat.openai.errors import NAME, OpenAIProtocol
from cluster.lab.emulator.core.content import Part, RequestContent, RequestMessage, measure
from cluster.lab.emulator.core.model_rules import ModelRules, image_tokens
from cluster.lab.emulator.core.parsing import bearer
from cluster.lab.emulator.core.request import ParsedRequest
from cluster.lab.emulator.core.tools import OfferedTools

IMAGE_FORMATS: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "unknown"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIRequest(ParsedRequest):
    """A parsed request with the options of both protocols that shape the answer."""

    obfuscation: bool = True
    logprobs: bool = False
    top_logprobs: int = 0
    echo: Mapping[str, Any] | None = None
    """The fields of the request that a response repeats."""


class OpenAIGeneration(OpenAIProtocol, ABC):
    """A protocol that generates text: chat completions or responses."""

    @abstractmethod
    def parse(self, body: Mapping[str, Any], key: str | None) -> OpenAIRequest:
        """Return the checked request; raises InvalidRequest."""

    def read(self, request: web.Request, body: Any) -> ParsedRequest:
        key = bearer(request.headers)
        fields = body if isinstance(body, dict) else {}
        model = fields.get("model") if isinstance(fields.get("model"), str) else ""
        try:
            return self.parse(fields, key)
        except InvalidRequest as refused:
            stream = fields.get("stream") is True
            return ParsedRequest(vendor=NAME, model=str(model), key=key, stream=stream, wrong=refused.problem)


def all_parts(turns: Sequence[RequestMessage], tools: OfferedTools, schema: Mapping[str, Any] | None) -> list[Part]:
    """Return the content of a request in the order of the prompt: tools and schema first, as they change least."""
    definitions = [tool.text for tool in tools.tools] + ([json.dumps(schema)] if schema is not None else [])
    return [*definitions, *(part for turn in turns for part in turn.parts)]


def measured(parts: Sequence[Part]) -> RequestContent:
    """Measure a request; raises InvalidRequest for an image that OpenAI cannot read."""
    content = measure(parts)
    if content is None or any(image.format not in IMAGE_FORMATS for image in content.images):
        raise InvalidRequest("The image is not supported; use png, jpeg, gif or webp.", None, "invalid_image_format")
    return content


def check_length(content: RequestContent, rules: ModelRules, output_limit: int | None, param: str) -> None:
    """Raise InvalidRequest for a request that exceeds the model's context.

    A model that thinks keeps its whole output limit free, every other one the requested limit.
    """
    if rules.context_tokens is None:
        return
    kept = rules.max_output_tokens if rules.thinking is not None else output_limit
    most = rules.context_tokens - (kept or 0)
    tokens = content.text_tokens + image_tokens(NAME, rules.name, content)
    if tokens > most:
        raise InvalidRequest(
            f"The input has {tokens} tokens, above the limit of {most} tokens. Reduce its length.",
            param,
            "context_length_exceeded",
        )


def served_tier(requested: str | None) -> str:
    """Return the tier that a request gets: SDK 3.54 says that `fast` is served, and named, as `priority`."""
    return {"fast": "priority", "auto": "default"}.get(requested or "auto", requested or "default")
