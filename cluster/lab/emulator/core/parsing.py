"""Parse what the vendors' requests have in common: keys, images and validation errors."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, ValidationError

from cluster.lab.emulator.core.content import Part, RequestContent, measure, unit_vector
from cluster.lab.emulator.core.request import ParsedRequest, RequestProblem
from routing.validation import first_error

BAD_IMAGE = RequestProblem("The image could not be read.")


class Lenient(BaseModel):
    """A part of a request; unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def bearer(headers: Mapping[str, str]) -> str | None:
    """Return the key of `Authorization: Bearer`, or None."""
    scheme, _, key = headers.get("Authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def picture(url: str) -> bytes:
    """Return the content of a data URL, or the bytes of any other URL itself."""
    head, comma, data = url.partition(",")
    return from_base64(data) if comma and head.startswith("data:") else url.encode()


def from_base64(data: str) -> bytes:
    """Decode either base64 alphabet. Returns empty bytes if `data` is invalid, which no image parser accepts."""
    try:
        return base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))
    except (binascii.Error, ValueError):
        return b""


def first_problem(error: ValidationError) -> str:
    """Return the first invalid field and its error, but not its value, which may be content."""
    path, message = first_error(error)
    return f"{path or 'body'}: {message}"


def invalid(error: ValidationError) -> RequestProblem:
    """Return the first invalid field of a request as the vendor's problem with it."""
    return RequestProblem(first_problem(error), param=first_error(error)[0] or None)


def parse_embedding(
    vendor: str, model: str, key: str | None, inputs: Sequence[Sequence[Part]], dimensions: int, as_base64: bool
) -> ParsedRequest:
    """Return an embedding request with one vector for each of `inputs`."""
    measured = [content for parts in inputs if (content := measure(parts)) is not None]
    return ParsedRequest(
        vendor=vendor,
        model=model,
        key=key,
        content=RequestContent.of_all(measured),
        max_tokens=0,
        inputs=tuple(measured),
        dimensions=dimensions,
        as_base64=as_base64,
        wrong=None if len(measured) == len(inputs) else BAD_IMAGE,
    )


def vector(content: RequestContent, dimensions: int, as_base64: bool) -> list[float] | str:
    """Return an embedding as a list of numbers, or as base64 of 32-bit floats."""
    values = unit_vector(content, dimensions)
    return base64.b64encode(struct.pack(f"<{dimensions}f", *values)).decode() if as_base64 else values
