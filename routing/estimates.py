"""Estimates of the usage of a request before the vendor is called, and the check against a model's limits."""

from __future__ import annotations

import json
import string
from collections.abc import Iterable, Iterator

from routing.capabilities import effort_of, thinking_tokens
from routing.catalogue import FRAME_PX, Model
from routing.chat import ChatOptions, Image, Message, Tool
from routing.errors import BadInput, ContextTooLong
from routing.models import EmbedRequest, ModelRequest, Usage

# English text runs at about four bytes a token in the vendors' tokenizers; three keeps an estimate from falling short.
BYTES_PER_TOKEN = 3
MESSAGE_OVERHEAD_TOKENS = 8
# The prompt that a vendor adds to tools. Anthropic's page on token counting counts 403 tokens for a question with one
# small tool, read 2026-11-30.
TOOLS_PROMPT_TOKENS = 400
# OpenAI's Responses API takes no lower limit.
LEAST_OUTPUT_TOKENS = 16
_LETTERS = string.ascii_letters.encode()
# A request is refused only if it is too long even for a tokenizer that packs more prose into a token than these do.
LONGEST_BYTES_PER_TOKEN = 5


def estimate_chat(model: Model, request: ModelRequest) -> Usage:
    """Return the most that the vendor can invoice: its whole input, and every output token that it allows."""
    image_tokens = sum(model.tokens_of(image) for image in _images(request.messages))
    allowed_tokens = max(request.max_output_tokens + request.thinking_tokens, LEAST_OUTPUT_TOKENS)
    output_tokens = min(allowed_tokens, model.max_output_tokens)
    input_tokens = _most_input_tokens(request.messages, request.options) + image_tokens
    cache_min_tokens = model.capabilities.cache_min_tokens
    return Usage(
        input_tokens=input_tokens,
        # A token that is written to the cache is never cheaper than another.
        cache_write_tokens=input_tokens if cache_min_tokens is not None and input_tokens >= cache_min_tokens else 0,
        output_tokens=output_tokens,
        thinking_tokens=min(request.thinking_tokens, output_tokens),
        image_tokens=image_tokens,
    )


def estimate_embedding(request: EmbedRequest) -> Usage:
    """Return the most that the vendor can invoice; an image of unknown size counts as a frame."""
    sizes_px = [image.width_px * image.height_px or FRAME_PX for image in _images(request.inputs)]
    return Usage(input_tokens=_most_input_tokens(request.inputs), image_px=sum(sizes_px))


def text_tokens(messages: Iterable[Message]) -> int:
    """Estimate the tokens of texts and tool calls; the estimate is seldom too low for prose."""
    return sum(
        len(message.token_ids)
        + sum(MESSAGE_OVERHEAD_TOKENS + _tokens(text) for text in (message.text, *_calls(message)))
        for message in messages
    )


def options_tokens(options: ChatOptions) -> int:
    """Estimate the input tokens of tool definitions and of an answer's schema."""
    tools = [MESSAGE_OVERHEAD_TOKENS + _tokens(_definition(tool)) for tool in options.tools]
    return sum(tools) + (TOOLS_PROMPT_TOKENS if tools else 0) + _tokens(_schema(options))


def most_tokens(text: str) -> int:
    """Return the most tokens that a vendor's tokenizer makes of a text.

    Tokenizers work on bytes, so that no token is shorter than one. They have every pair of Latin letters, but digits,
    signs, and the bytes of other scripts may each be a token.
    """
    data = text.encode("utf-8", "replace")
    letters = len(data) - len(data.translate(None, _LETTERS))
    return len(data) - letters // 2


def _most_input_tokens(messages: Iterable[Message], options: ChatOptions | None = None) -> int:
    options = options or ChatOptions()
    texts, tokens = [_schema(options), *map(_definition, options.tools)], 0
    for message in messages:
        texts += [message.text, *_calls(message)]
        tokens += len(message.token_ids) + MESSAGE_OVERHEAD_TOKENS * (1 + len(message.tool_calls))
    tokens += MESSAGE_OVERHEAD_TOKENS * len(options.tools) + (TOOLS_PROMPT_TOKENS if options.tools else 0)
    return tokens + sum(map(most_tokens, texts))


def check_fits(
    model: Model,
    messages: Iterable[Message],
    output_tokens: int,
    longest_input_tokens: int | None = None,
    output_field: str = "max_tokens",
    options: ChatOptions | None = None,
) -> None:
    """Reject a request that exceeds the model's limits before the vendor is called.

    `longest_input_tokens` is the limit of the configuration. `output_field` is the request field that held
    `output_tokens`. Raises BadInput for `output_tokens` and ContextTooLong for `messages`.
    """
    options = options or ChatOptions()
    if output_tokens > model.max_output_tokens:
        raise BadInput(f"{model.name} answers with at most {model.max_output_tokens} tokens.", output_field)
    thinking = thinking_tokens(model.capabilities, effort_of(model.capabilities, options))
    output = min(output_tokens + thinking, model.max_output_tokens)
    limits = [longest_input_tokens, model.context_tokens and max(model.context_tokens - output, 0)]
    longest = min((limit for limit in limits if limit is not None), default=None)
    tokens = _fewest_tokens(model, messages, options)
    if longest is not None and tokens > longest:
        raise ContextTooLong(
            f"The messages are at least {tokens} tokens long; with {output_field} {output_tokens}"
            f" {model.name} takes at most {longest} here.",
            "messages",
        )


def _fewest_tokens(model: Model, messages: Iterable[Message], options: ChatOptions) -> int:
    texts, images = [_schema(options), *map(_definition, options.tools)], 0
    for message in messages:
        # Thoughts are not among them: only one vendor reads them.
        texts += [message.text, *_calls(message)]
        images += sum(model.tokens_of(image) for image in message.images)
    return sum(len(text.encode()) // LONGEST_BYTES_PER_TOKEN for text in texts) + images


def _tokens(text: str) -> int:
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def _images(messages: Iterable[Message]) -> Iterator[Image]:
    return (image for message in messages for image in message.images)


def _calls(message: Message) -> Iterator[str]:
    return (f"{call.name} {call.arguments}" for call in message.tool_calls)


def _definition(tool: Tool) -> str:
    return f"{tool.name} {tool.description or ''} {_json(tool.parameters)}"


def _schema(options: ChatOptions) -> str:
    return _json(options.response_format.schema) if options.response_format is not None else ""


def _json(schema: object) -> str:
    return "" if schema is None else json.dumps(schema, ensure_ascii=False, separators=(",", ":"), default=dict)
