"""Parse a generateContent request: refuse what Gemini refuses, and measure the rest."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cluster.lab.emulator.chat.gemini.contents import read_contents, read_instruction
from cluster.lab.emulator.chat.gemini.errors import NAME
from cluster.lab.emulator.chat.gemini.generation_config import (
    check_generation_config,
    read_schema,
    thinking_tokens,
)
from cluster.lab.emulator.chat.gemini.proto_json import Fields, InvalidArgument, read_message
from cluster.lab.emulator.chat.gemini.tools import read_tools
from cluster.lab.emulator.core.content import Part, RequestContent, measure
from cluster.lab.emulator.core.model_rules import ModelRules, image_tokens, rules_of
from cluster.lab.emulator.core.prompt_cache import CachePoint, unmarked_points
from cluster.lab.emulator.core.request import ParsedRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiRequest(ParsedRequest):
    """A parsed request with the options of Gemini that shape the answer."""

    logprobs: bool = False
    top_logprobs: int = 0
    names_calls: bool = False
    """Whether calls have ids."""
    signs_thoughts: bool = False
    """Whether the first call has a thought signature."""


def parse(body: Any, model: str, key: str | None, stream: bool) -> GeminiRequest:
    """Return a request; raises InvalidArgument with the first problem that Gemini would name."""
    request, rules = read_message(body, "GenerateContentRequest"), rules_of(model)
    turns = read_contents(request.get("contents") or [], rules)
    if "system_instruction" in request:
        turns = (read_instruction(request["system_instruction"]), *turns)
    config, tools = request.get("generation_config") or {}, read_tools(request)
    check_generation_config(config, tools, rules, model)
    schema = read_schema(config)
    definitions = [tool.text for tool in tools.tools] + ([json.dumps(schema)] if schema is not None else [])
    parts: list[Part] = [*definitions, *(part for turn in turns for part in turn.parts)]
    return GeminiRequest(
        vendor=NAME,
        model=model,
        key=key,
        stream=stream,
        content=_measured(parts, rules),
        turns=turns,
        max_tokens=config.get("max_output_tokens"),
        thinking_tokens=thinking_tokens(config, rules),
        tools=tools,
        response_schema=schema,
        stop=tuple(config.get("stop_sequences") or ()),
        service_tier=_tier(request),
        cache_points=_cache_points(parts, rules),
        logprobs=config.get("response_logprobs") is True,
        top_logprobs=config.get("logprobs") or 0,
        names_calls="call_ids" in rules.flags,
        signs_thoughts="thought_signatures" in rules.flags,
    )


def _measured(parts: list[Part], rules: ModelRules) -> RequestContent:
    content = measure(parts)
    if content is None:
        raise InvalidArgument("Unable to process input image. Please retry or report the problem.")
    tokens = content.text_tokens + image_tokens(NAME, rules.name, content)
    if rules.context_tokens is not None and tokens > rules.context_tokens:
        raise InvalidArgument(
            f"The input token count ({tokens}) exceeds the maximum number of tokens allowed ({rules.context_tokens})."
        )
    return content


def _tier(request: Fields) -> str:
    tier = str(request.get("service_tier", "STANDARD")).lower()
    return "standard" if tier == "unspecified" else tier


def _cache_points(parts: Iterable[Part], rules: ModelRules) -> tuple[CachePoint, ...]:
    """Return the ends of the prefixes that are cached without being asked, at no charge for writing.

    Google publishes the smallest prefix and no steps, so each of them is as long as the smallest.
    """
    least = rules.cache_min_tokens
    return () if least is None else unmarked_points(parts, least, least)
