"""Parse the messages of a request into texts and images, and measure them."""

from __future__ import annotations

import hashlib
import io
import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from PIL import Image, UnidentifiedImageError

# A client may send an image that unpacks to gigabytes. Only its header is read; more pixels than this are rejected.
MAX_IMAGE_PX = 100_000_000
REMOTE_IMAGE_PX = (1024, 576)
"""The size that an image behind a URL counts as, because it is not fetched."""

Part = str | bytes


@dataclass(frozen=True, slots=True)
class RequestMessage:
    """One message of a request: text and images in their order, and the ids of tool calls.

    `calls` are the calls that the message contains, `results` those to which it has results.
    """

    role: str
    parts: tuple[Part, ...] = field(repr=False)
    calls: tuple[str, ...] = ()
    results: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return "\n".join(part for part in self.parts if isinstance(part, str))

    @property
    def images(self) -> tuple[bytes, ...]:
        return tuple(part for part in self.parts if isinstance(part, bytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHeader:
    """The size and the format of an image, from its first bytes; the format is `unknown` behind a web address."""

    width_px: int
    height_px: int
    format: str

    @property
    def px(self) -> int:
        return self.width_px * self.height_px


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContent:
    """The measured content of a request. Its text is not stored."""

    text_tokens: int = 0
    characters: int = 0
    images: tuple[ImageHeader, ...] = ()
    digest: bytes = field(default=b"", repr=False)

    @property
    def image_px(self) -> int:
        """Return the pixels of all images together."""
        return sum(image.px for image in self.images)

    @classmethod
    def of_all(cls, contents: Iterable[RequestContent]) -> RequestContent:
        """Return the sums over several inputs of one request."""
        contents = tuple(contents)
        return cls(
            text_tokens=sum(content.text_tokens for content in contents),
            characters=sum(content.characters for content in contents),
            images=tuple(image for content in contents for image in content.images),
            digest=b"".join(content.digest for content in contents),
        )


def measure(parts: Iterable[Part]) -> RequestContent | None:
    """Measure `parts`, one token per word. Returns None if an image cannot be parsed."""
    digest = hashlib.blake2b(digest_size=16)
    tokens, characters, images = 0, 0, []
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        if isinstance(part, str):
            tokens, characters = tokens + len(part.split()), characters + len(part)
            continue
        image = image_header(part)
        if image is None:
            return None
        images.append(image)
    return RequestContent(text_tokens=tokens, characters=characters, images=tuple(images), digest=digest.digest())


def image_header(data: bytes) -> ImageHeader | None:
    """Read an image's header. A URL is not fetched and counts as an image of REMOTE_IMAGE_PX."""
    if data.startswith((b"http://", b"https://", b"gs://")):
        return ImageHeader(width_px=REMOTE_IMAGE_PX[0], height_px=REMOTE_IMAGE_PX[1], format="unknown")
    try:
        with Image.open(io.BytesIO(data)) as image:
            header = ImageHeader(
                width_px=image.width, height_px=image.height, format=f"image/{(image.format or '').lower()}"
            )
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return None
    return header if header.px <= MAX_IMAGE_PX else None


def unit_vector(content: RequestContent, dimensions: int) -> list[float]:
    """Return a unit vector that is determined by the content."""
    rng = random.Random(content.digest)
    values = [rng.gauss(0, 1) for _ in range(dimensions)]
    length = math.hypot(*values)
    return [value / length for value in values]
