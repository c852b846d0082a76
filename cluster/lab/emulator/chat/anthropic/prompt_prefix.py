"""The prefixes of a prompt that a request marks with `cache_control`.

Anthropic's page on prompt caching, read 2026-11-30: the prompt is tools, system, messages; at most four breakpoints,
those of an hour first; a prefix below the model's minimum is not cached; up to 20 blocks before a breakpoint are
compared with the cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from cluster.lab.emulator.chat.anthropic.checks import AnthropicRefusal
from cluster.lab.emulator.chat.anthropic.errors import NAME
from cluster.lab.emulator.chat.anthropic.images import image_bytes
from cluster.lab.emulator.chat.anthropic.request_schema import (
    Block,
    CacheControl,
    ImageBlock,
    MessagesRequest,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolParam,
    ToolResultBlock,
    ToolUseBlock,
)
from cluster.lab.emulator.core.content import Part, RequestContent, image_header
from cluster.lab.emulator.core.model_rules import ModelRules, image_tokens
from cluster.lab.emulator.core.prompt_cache import LIFE_1H_S, LIFE_5M_S, CachePoint
from cluster.lab.emulator.core.tools import OfferedTool

MOST_BREAKPOINTS: Final = 4
LOOKBACK_BLOCKS: Final = 20
_Unit = ToolParam | Block


def parts_of(block: Block) -> tuple[Part, ...]:
    """Return the texts and images of a block that count as input; thinking of earlier answers counts nothing here."""
    if isinstance(block, TextBlock):
        return (block.text,)
    if isinstance(block, ImageBlock):
        return (image_bytes(block),)
    if isinstance(block, ToolUseBlock):
        return (block.name, block.model_dump_json(include={"input"}))
    if isinstance(block, ToolResultBlock):
        inner = [TextBlock(type="text", text=block.content)] if isinstance(block.content, str) else block.content
        return tuple(part for one in inner for part in parts_of(one))
    return ()


def tool_text(tool: ToolParam) -> str:
    return OfferedTool(name=tool.name, description=tool.description or "", parameters=tool.input_schema).text


def check_breakpoints(request: MessagesRequest) -> None:
    """Raise AnthropicRefusal for more than four breakpoints, or an hour's one after one of five minutes."""
    marks = [control for _, control in _units(request) if control is not None]
    if len(marks) > MOST_BREAKPOINTS:
        raise AnthropicRefusal(
            f"A maximum of {MOST_BREAKPOINTS} blocks with cache_control may be provided. Found {len(marks)}."
        )
    lives = [control.ttl for control in marks]
    if lives != sorted(lives):
        raise AnthropicRefusal("a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block.")


def cache_points(request: MessagesRequest, rules: ModelRules) -> tuple[CachePoint, ...]:
    """Return the ends of the marked prefixes, and those of the blocks before them, which are only read."""
    least = rules.cache_min_tokens
    units = list(_units(request))
    if least is None or not any(control for _, control in units):
        return ()
    digest, tokens = hashlib.blake2b(digest_size=16), 0
    ends: list[CachePoint] = []
    marks: dict[int, CacheControl] = {}
    for unit, control in units:
        for part in (tool_text(unit),) if isinstance(unit, ToolParam) else parts_of(unit):
            digest.update((part.encode("utf-8", "replace") if isinstance(part, str) else part) + b"\0")
            tokens += _tokens(part, rules)
        if control is not None:
            marks[len(ends)] = control
        ends.append(CachePoint(digest=digest.digest(), tokens=tokens))
    return tuple(_points(ends, marks, least))


def _points(ends: list[CachePoint], marks: dict[int, CacheControl], least: int) -> Iterator[CachePoint]:
    near = {index for mark in marks for index in range(max(0, mark - LOOKBACK_BLOCKS), mark + 1)}
    for index in sorted(near):
        end = ends[index]
        if end.tokens >= least:
            control = marks.get(index)
            life_s = LIFE_1H_S if control is not None and control.ttl == "1h" else LIFE_5M_S
            yield CachePoint(digest=end.digest, tokens=end.tokens, life_s=life_s, writes=control is not None)


def _units(request: MessagesRequest) -> Iterator[tuple[_Unit, CacheControl | None]]:
    """Yield tools and blocks in the order of the prompt, each with its breakpoint."""
    units = list(_marked(request))
    if request.cache_control is not None and units:
        units[-1] = (units[-1][0], request.cache_control)
    yield from units


def _marked(request: MessagesRequest) -> Iterator[tuple[_Unit, CacheControl | None]]:
    yield from ((tool, tool.cache_control) for tool in request.tools)
    yield from ((block, block.cache_control) for block in request.system_blocks)
    for message in request.messages:
        for block in message.blocks:
            if not isinstance(block, ThinkingBlock | RedactedThinkingBlock):
                yield block, block.cache_control


def _tokens(part: Part, rules: ModelRules) -> int:
    if isinstance(part, str):
        return len(part.split())
    header = image_header(part)
    return image_tokens(NAME, rules.name, RequestContent(images=(header,))) if header is not None else 0
