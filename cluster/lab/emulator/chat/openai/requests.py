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
from cluster.lab.emulator.chat.openai.prefixes import cache_points
from cluster.lab.emulator.core.content import Part, RequestContent, RequestMessage, measure
from cluster.lab.emulator.core.model_rules import EffortLevel, ModelRules, image_tokens, rules_of
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """All that a model reads: the messages, the offered tools, and the JSON Schema of the answer."""

    turns: tuple[RequestMessage, ...]
    tools: OfferedTools
    schema: Mapping[str, Any] | None

    def parts(self) -> list[Part]:
        """Return the content in the order of the prompt: tools and schema first, as they change least."""
        schema = [json.dumps(self.schema)] if self.schema is not None else []
        definitions = [tool.text for tool in self.tools.tools] + schema
        return [*definitions, *(part for turn in self.turns for part in turn.parts)]


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


def parsed_request(
    body: Mapping[str, Any],
    key: str | None,
    prompt: Prompt,
    prompt_field: str,
    max_tokens: int | None,
    effort: EffortLevel | None,
) -> OpenAIRequest:
    """Return a request whose fields are checked, without the options of one protocol alone.

    Raises InvalidRequest for an image that OpenAI cannot read, and for a prompt that is too long: it is in
    `prompt_field` of the body.
    """
    rules, parts = rules_of(str(body.get("model"))), prompt.parts()
    content = _measured(parts)
    _check_length(content, rules, max_tokens, prompt_field)
    return OpenAIRequest(
        vendor=NAME,
        model=body["model"],
        key=key,
        stream=body.get("stream") is True,
        content=content,
        turns=prompt.turns,
        max_tokens=max_tokens,
        thinking_tokens=rules.thinking_tokens(effort),
        tools=prompt.tools,
        response_schema=prompt.schema,
        service_tier=_served_tier(body.get("service_tier")),
        cache_points=cache_points(parts, rules),
        obfuscation=(body.get("stream_options") or {}).get("include_obfuscation") is not False,
    )


def _measured(parts: Sequence[Part]) -> RequestContent:
    """Measure a request; raises InvalidRequest for an image that OpenAI cannot read."""
    content = measure(parts)
    if content is None or any(image.format not in IMAGE_FORMATS for image in content.images):
        raise InvalidRequest("The image is not supported; use png, jpeg, gif or webp.", None, "invalid_image_format")
    return content


def _check_length(content: RequestContent, rules: ModelRules, output_limit: int | None, param: str) -> None:
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


def _served_tier(requested: str | None) -> str:
    """Return the tier that a request gets: SDK 3.54 says that `fast` is served, and named, as `priority`."""
    return {"fast": "priority", "auto": "default"}.get(requested or "auto", requested or "default")
