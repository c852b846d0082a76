"""Check the images of a request. Anthropic's page on vision, read 2026-11-30, has the limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cluster.lab.emulator.chat.anthropic.checks import AnthropicRefusal
from cluster.lab.emulator.chat.anthropic.request_schema import (
    Base64Source,
    Block,
    ImageBlock,
    MessagesRequest,
    ToolResultBlock,
)
from cluster.lab.emulator.core.content import image_header
from cluster.lab.emulator.core.parsing import from_base64

MAX_BYTES: Final = 5 * 1024 * 1024
MAX_SIDE_PX: Final = 8_000
MANY_IMAGES: Final = 20
MAX_SIDE_OF_MANY_PX: Final = 2_000
MOST_IMAGES: Final = 600


def check_images(request: MessagesRequest) -> None:
    """Raise AnthropicRefusal for the first image that Anthropic refuses."""
    images = [
        (block, f"messages.{index}.content.{place}.image.source")
        for index, message in enumerate(request.messages)
        for place, block in _images(message.blocks)
    ]
    if len(images) > MOST_IMAGES:
        raise AnthropicRefusal(f"messages: too many images: {len(images)} > {MOST_IMAGES}")
    longest_px = MAX_SIDE_PX if len(images) <= MANY_IMAGES else MAX_SIDE_OF_MANY_PX
    for image, path in images:
        if isinstance(image.source, Base64Source):
            _check(image.source, f"{path}.base64", longest_px)


def image_bytes(image: ImageBlock) -> bytes:
    """Return the bytes of an image, or the address of one on the web."""
    return from_base64(image.source.data) if isinstance(image.source, Base64Source) else image.source.url.encode()


def _images(blocks: list[Block]) -> Iterator[tuple[int, ImageBlock]]:
    for place, block in enumerate(blocks):
        if isinstance(block, ImageBlock):
            yield place, block
        elif isinstance(block, ToolResultBlock) and not isinstance(block.content, str):
            yield from ((place, inner) for inner in block.content if isinstance(inner, ImageBlock))


def _check(source: Base64Source, path: str, longest_px: int) -> None:
    # The limit holds for the base64 text, as users found.
    if len(source.data) > MAX_BYTES:
        raise AnthropicRefusal(f"{path}: image exceeds 5 MB maximum: {len(source.data)} bytes > {MAX_BYTES} bytes")
    header = image_header(from_base64(source.data))
    if header is None:
        raise AnthropicRefusal(f"{path}.data: Could not process image")
    if header.format != source.media_type:
        raise AnthropicRefusal(
            f"{path}.data: The image was specified using the {source.media_type} media type, but the image appears to"
            f" be a {header.format} image"
        )
    if max(header.width_px, header.height_px) > longest_px:
        raise AnthropicRefusal(
            f"{path}.data: At least one of the image dimensions exceed max allowed size: {longest_px} pixels"
        )
