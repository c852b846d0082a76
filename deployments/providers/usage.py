"""Conversion of each vendor's usage into `routing.models.Usage`.

`input_tokens` counts every input token and `output_tokens` every billed output token. The other fields count the parts
of these that were cached, written to a cache, from an image, or thinking. An invalid count, such as one below zero,
makes the usage unknown, and unknown usage is billed at its estimate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from routing.models import Usage


def from_openai(usage: Any) -> Usage | None:
    """Convert OpenAI's usage, or return None if there is none; its `prompt_tokens` include the cached ones."""
    prompt = _told(usage, "prompt_tokens")
    if prompt is None or _broken(usage, "completion_tokens", "total_tokens"):
        return None
    details, said = _field(usage, "prompt_tokens_details"), _field(usage, "completion_tokens_details")
    # Some compatible servers leave thinking out of `completion_tokens` but never out of the total.
    output = max(_count(usage, "completion_tokens"), _count(usage, "total_tokens") - prompt)
    cached, written = _count(details, "cached_tokens"), _count(details, "cache_write_tokens")
    return Usage(
        # And some leave cached tokens out of `prompt_tokens`.
        input_tokens=max(prompt, cached + written),
        cached_input_tokens=cached,
        cache_write_tokens=written,
        image_tokens=_count(details, "image_tokens"),
        output_tokens=output,
        thinking_tokens=_count(said, "reasoning_tokens"),
    )


def from_openai_responses(usage: Any) -> Usage | None:
    """Convert the usage of OpenAI's Responses API, which names the counts of chat completions otherwise."""
    details, said = _field(usage, "input_tokens_details"), _field(usage, "output_tokens_details")
    return from_openai(
        {
            "prompt_tokens": _field(usage, "input_tokens"),
            "completion_tokens": _field(usage, "output_tokens"),
            "total_tokens": _field(usage, "total_tokens"),
            "prompt_tokens_details": details,
            "completion_tokens_details": said,
        }
    )


def from_anthropic(usage: Any, earlier: Usage | None = None) -> Usage | None:
    """Convert Anthropic's usage; its `input_tokens` include neither cache reads nor cache writes.

    A stream reports the input at its start and the cumulative output at its end; `earlier` is the usage reported
    before.
    """
    if _broken(usage, "input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
        return None
    told, made = _told(usage, "input_tokens"), _told(usage, "output_tokens")
    if told is None and (made is None or earlier is None):
        return earlier
    was = earlier or Usage()
    cached = _told(usage, "cache_read_input_tokens", was.cached_input_tokens)
    written = _told(usage, "cache_creation_input_tokens", was.cache_write_tokens)
    for_an_hour = _told(_field(usage, "cache_creation"), "ephemeral_1h_input_tokens", was.cache_write_1h_tokens)
    fresh = _told(usage, "input_tokens", was.input_tokens - was.cached_input_tokens - was.cache_write_tokens)
    details = _field(usage, "output_tokens_details")
    return Usage(
        input_tokens=(fresh or 0) + (cached or 0) + (written or 0),
        cached_input_tokens=cached or 0,
        cache_write_tokens=written or 0,
        cache_write_1h_tokens=min(for_an_hour or 0, written or 0),
        output_tokens=_told(usage, "output_tokens", was.output_tokens) or 0,
        thinking_tokens=_told(details, "thinking_tokens", was.thinking_tokens) or 0,
    )


def from_gemini(usage: Any) -> Usage | None:
    """Convert Gemini's usage; it counts thinking apart from the answer, and tool input apart from the prompt."""
    prompt = _told(usage, "prompt_token_count")
    parts = ("tool_use_prompt_token_count", "candidates_token_count", "thoughts_token_count")
    if prompt is None or _broken(usage, *parts):
        return None
    thinking = _count(usage, "thoughts_token_count")
    return Usage(
        input_tokens=prompt + _count(usage, "tool_use_prompt_token_count"),
        cached_input_tokens=_count(usage, "cached_content_token_count"),
        image_tokens=_of_images(getattr(usage, "prompt_tokens_details", None)),
        output_tokens=_count(usage, "candidates_token_count") + thinking,
        thinking_tokens=thinking,
    )


def from_voyage(usage: Any) -> Usage | None:
    """Convert Voyage's usage: text in tokens and pictures in pixels, which `total_tokens` mixes."""
    text = _told(usage, "text_tokens", _told(usage, "total_tokens"))
    if text is None or _broken(usage, "text_tokens", "image_pixels", "video_pixels"):
        return None
    return Usage(input_tokens=text, image_px=_count(usage, "image_pixels") + _count(usage, "video_pixels"))


def _field(usage: Any, name: str) -> Any:
    """Return a field of an SDK's object or of plain JSON."""
    return usage.get(name) if isinstance(usage, Mapping) else getattr(usage, name, None)


def _told(usage: Any, name: str, otherwise: int | None = None) -> int | None:
    """Return a count of a vendor's usage, or `otherwise` if it is absent or invalid."""
    value = _field(usage, name)
    return int(value) if _is_count(value) else otherwise


def _broken(usage: Any, *names: str) -> bool:
    """Return whether one of the fields holds an invalid number: its count is then unknown, and not zero."""
    told = (_field(usage, name) for name in names)
    return any(isinstance(value, int | float) and not _is_count(value) for value in told)


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _count(usage: Any, name: str) -> int:
    return _told(usage, name) or 0


def _of_images(details: Iterable[Any] | None) -> int:
    return sum(_count(row, "token_count") for row in details or () if str(row.modality).endswith("IMAGE"))
