"""Turns each vendor's usage into ours. Knows the vendors' field names, not their SDKs."""

from __future__ import annotations

from typing import Any

from routing.messages import Usage


def from_openai(usage: Any) -> Usage | None:
    """Return OpenAI's usage as ours, or None where there is none; its `prompt_tokens` hold the cached ones already."""
    if usage is None or usage.prompt_tokens is None:
        return None
    # An embedding's usage has neither details nor completion tokens.
    prompt = getattr(usage, "prompt_tokens_details", None)
    completion = getattr(usage, "completion_tokens_details", None)
    return Usage(
        input_tokens=usage.prompt_tokens,
        cached_input_tokens=(prompt and prompt.cached_tokens) or 0,
        output_tokens=getattr(usage, "completion_tokens", 0) or 0,
        thinking_tokens=(completion and completion.reasoning_tokens) or 0,
    )
