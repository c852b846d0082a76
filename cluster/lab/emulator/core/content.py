"""Measure request content and generate answers, deterministic for the same content and seed."""

from __future__ import annotations

import hashlib
import io
import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal

from PIL import Image, UnidentifiedImageError

from cluster.lab.emulator.core.faults import Extras, Fault
from routing.catalogue import FRAME_PX, Catalogue, Model, load_catalogue

# A client may send an image that unpacks to gigabytes. Only its header is read; more pixels than this are rejected.
MAX_IMAGE_PX = 100_000_000
_OPENING_WORDS = "This is the emulator speaking:".split()
_WORDS = "it saw a window with text and a chart beside it where one line is new near the top of the page".split()

Part = str | bytes
End = Literal["stop", "length", "refused", "filtered"]


@dataclass(frozen=True, slots=True)
class RequestMessage:
    """One message of a request: its texts and images in order."""

    role: str
    parts: tuple[Part, ...] = field(repr=False)

    @property
    def text(self) -> str:
        return "\n".join(part for part in self.parts if isinstance(part, str))

    @property
    def images(self) -> tuple[bytes, ...]:
        return tuple(part for part in self.parts if isinstance(part, bytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContent:
    """The measured content of a request. Its text is not stored."""

    text_tokens: int = 0
    characters: int = 0
    image_px: tuple[int, ...] = ()
    digest: bytes = field(default=b"", repr=False)

    @classmethod
    def of_all(cls, contents: Iterable[RequestContent]) -> RequestContent:
        """Return the sums over several inputs of one request."""
        contents = tuple(contents)
        return cls(
            text_tokens=sum(content.text_tokens for content in contents),
            characters=sum(content.characters for content in contents),
            image_px=tuple(px for content in contents for px in content.image_px),
            digest=b"".join(content.digest for content in contents),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """The billed token counts. `input_tokens` and `output_tokens` include all the others."""

    input_tokens: int = 0
    output_tokens: int = 0
    image_tokens: int = 0
    image_px: int = 0
    extras: Extras = field(default_factory=Extras)

    def with_output(self, tokens: int) -> TokenCounts:
        """Return the counts of a stream that has produced `tokens` output tokens so far."""
        return replace(self, output_tokens=tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedAnswer:
    """A complete answer. Each word counts as one token."""

    words: tuple[str, ...] = field(repr=False)
    end: End | None
    token_counts: TokenCounts
    untold_usage: bool = False

    @property
    def text(self) -> str:
        return " ".join(self.words)


def measure(parts: Iterable[Part]) -> RequestContent | None:
    """Measure `parts`, one token per word. Returns None if an image cannot be parsed."""
    digest = hashlib.blake2b(digest_size=16)
    tokens, characters, px = 0, 0, []
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        if isinstance(part, str):
            tokens, characters = tokens + len(part.split()), characters + len(part)
            continue
        size = image_px(part)
        if size is None:
            return None
        px.append(size)
    return RequestContent(text_tokens=tokens, characters=characters, image_px=tuple(px), digest=digest.digest())


def image_px(data: bytes) -> int | None:
    """Return an image's pixel count from its header. A URL is not fetched and counts as one frame."""
    if data.startswith((b"http://", b"https://", b"gs://")):
        return FRAME_PX
    try:
        with Image.open(io.BytesIO(data)) as image:
            px = image.width * image.height
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return None
    return px if px <= MAX_IMAGE_PX else None


def image_tokens(vendor: str, model: str, content: RequestContent) -> int:
    """Return the input tokens of the images by the vendor's rule for the model, or for its newest one."""
    vendor_models = [model_row for model_row in _catalogue().models.values() if model_row.vendor == vendor]
    model_row = catalogue_row(model) or (vendor_models[-1] if vendor_models else None)
    return sum(model_row.image_token_count(px) for px in content.image_px) if model_row is not None else 0


def catalogue_row(model: str) -> Model | None:
    """Return the catalogue row with the vendor model name `model`, or None."""
    return next((row for row in _catalogue().models.values() if row.vendor_name == model), None)


@cache
def _catalogue() -> Catalogue:
    return load_catalogue()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerStyle:
    """The settings of generated answers: length, seed, extra token counts, and the words of a refusal."""

    answer_tokens: int
    seed: int
    extras: Extras
    refusal_words: tuple[str, ...] = ()


def compose(
    content: RequestContent,
    picture_tokens: int,
    max_words: int | None,
    fault: Fault,
    style: AnswerStyle,
    given_words: tuple[str, ...] | None = None,
) -> GeneratedAnswer:
    """Generate an answer of at most `max_words` words, with token counts; `picture_tokens` counts the images.

    The words are `given_words` if an engine produced them, otherwise random ones.
    """
    end, words = _words(content, max_words, fault, style, given_words)
    # A limit of 0 words marks an embedding request, which has neither cached nor thinking tokens.
    extras = Extras() if max_words == 0 else fault.extras or style.extras
    extra_input_tokens = extras.cached_tokens + extras.cache_write_5m_tokens + extras.cache_write_1h_tokens
    token_counts = TokenCounts(
        input_tokens=content.text_tokens + picture_tokens + extra_input_tokens,
        output_tokens=len(words) + extras.thinking_tokens,
        image_tokens=picture_tokens,
        image_px=sum(content.image_px),
        extras=extras,
    )
    # A non-streamed answer cannot be cut short, so it lacks its finish marker instead.
    cut = fault.cut_after_chunks is not None
    return GeneratedAnswer(
        words=words, end=None if cut else end, token_counts=token_counts, untold_usage=fault.untold_usage
    )


def _words(
    content: RequestContent,
    max_words: int | None,
    fault: Fault,
    style: AnswerStyle,
    given_words: tuple[str, ...] | None,
) -> tuple[End, tuple[str, ...]]:
    if fault.refusal == "refused":
        return "refused", style.refusal_words
    if fault.refusal == "filtered" or fault.empty:
        return ("filtered" if fault.refusal else "stop"), ()
    if given_words is not None and fault.answer_tokens is None:
        return ("stop" if max_words is None or max_words >= len(given_words) else "length"), given_words[:max_words]
    rng = random.Random(content.digest + b"%d" % style.seed)
    length = fault.answer_tokens or style.answer_tokens
    words = [*_OPENING_WORDS, *rng.choices(_WORDS, k=max(0, length - len(_OPENING_WORDS)))][:length]
    return ("stop" if max_words is None or max_words >= length else "length"), tuple(words[:max_words])


def unit_vector(content: RequestContent, dimensions: int) -> list[float]:
    """Return a unit vector that is determined by the content."""
    rng = random.Random(content.digest)
    values = [rng.gauss(0, 1) for _ in range(dimensions)]
    length = math.hypot(*values)
    return [value / length for value in values]
