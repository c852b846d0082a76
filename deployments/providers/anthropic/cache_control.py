"""Mark the prefixes of a prompt that Anthropic shall cache for five minutes.

Anthropic's page on prompt caching, read 2026-11-30: the prompt is tools, system, messages; at most four breakpoints;
a prefix below the model's minimum is not cached, without an error; a write costs a quarter more than plain input.
"""

from __future__ import annotations

from typing import Any, Final

from deployments.providers.anthropic.thinking import TYPES
from routing.capabilities import Capabilities
from routing.estimates import options_tokens, text_tokens
from routing.models import ModelRequest

Json = dict[str, Any]
BREAKPOINT: Final = {"type": "ephemeral"}
LONG_CONVERSATION: Final = 5
"""The messages from which on a conversation is likely to go on, so that the next request reads what this one writes."""


def add_breakpoints(body: Json, capabilities: Capabilities, request: ModelRequest) -> Json:
    """Return the body with a breakpoint behind tools and system, and one before the last message."""
    least = capabilities.cache_min_tokens
    if least is None:
        return body
    marked = dict(body)
    system = [message for message in request.messages if message.role == "system"]
    prefix_tokens = text_tokens(system) + options_tokens(request.options)
    if prefix_tokens >= least:
        _mark_prefix(marked)
    earlier = request.messages[:-1]
    if len(body["messages"]) >= LONG_CONVERSATION and text_tokens(earlier) + prefix_tokens >= least:
        _mark_conversation(marked)
    return marked


def _mark_prefix(body: Json) -> None:
    if "system" in body:
        body["system"] = [{"type": "text", "text": body["system"], "cache_control": BREAKPOINT}]
    elif "tools" in body:
        *others, last = body["tools"]
        body["tools"] = [*others, last | {"cache_control": BREAKPOINT}]


def _mark_conversation(body: Json) -> None:
    *others, message, last = body["messages"]
    *blocks, block = message["content"]
    if block["type"] in TYPES:
        return
    marked = message | {"content": [*blocks, block | {"cache_control": BREAKPOINT}]}
    body["messages"] = [*others, marked, last]
