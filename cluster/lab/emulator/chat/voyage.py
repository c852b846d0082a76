"""Voyage's embeddings protocols, of texts and of pictures, under /voyage/v1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from aiohttp import web
from pydantic import Field, ValidationError

from cluster.lab.emulator.core.answers import GeneratedAnswer, TokenCounts
from cluster.lab.emulator.core.capacity import LimitStatus
from cluster.lab.emulator.core.content import Part
from cluster.lab.emulator.core.model_rules import rules_of
from cluster.lab.emulator.core.parsing import Lenient, bearer, invalid, parse_embedding, picture, vector
from cluster.lab.emulator.core.protocol import StreamFrame, VendorRefusal, converse
from cluster.lab.emulator.core.request import EmulatorState, ParsedRequest

PREFIX = "/voyage/v1"
NAME = "voyage"
DIMENSIONS = 1_024
PX_A_TOKEN = 560
"""How `total_tokens` counts pictures; they are billed by the pixel all the same. Voyage's pricing page, 2026-11-22."""
_REASONS: dict[str, tuple[int, str]] = {
    "no_key": (401, "Provided API key is invalid."),
    "bad_request": (400, "The request is not valid."),
    "unknown_model": (400, "Model is not supported."),
    "requests": (429, "You have exceeded your requests per minute (RPM) limit."),
    "tokens": (429, "You have exceeded your tokens per minute (TPM) limit."),
    "concurrent": (429, "Too many requests at once."),
    "overloaded": (503, "The service is overloaded."),
}


class _VoyageTexts(Lenient):
    model: str
    input: str | list[str] = Field(min_length=1)
    encoding_format: Literal["base64"] | None = None
    output_dimension: int | None = Field(None, ge=1, le=4_096)

    def inputs(self) -> list[list[Part]]:
        return [[text] for text in ([self.input] if isinstance(self.input, str) else self.input)]


class _VoyagePart(Lenient):
    type: Literal["text", "image_base64", "image_url"]
    text: str = ""
    image_base64: str = ""
    image_url: str = ""

    def part(self) -> Part:
        return self.text if self.type == "text" else picture(self.image_base64 or self.image_url)


class _VoyageInput(Lenient):
    content: list[_VoyagePart] = Field(min_length=1)


class _VoyageMultimodal(Lenient):
    model: str
    inputs_: list[_VoyageInput] = Field(alias="inputs", min_length=1)
    encoding_format: Literal["base64"] | None = Field(None, alias="output_encoding")
    output_dimension: int | None = Field(None, ge=1, le=4_096)

    def inputs(self) -> list[list[Part]]:
        return [[part.part() for part in item.content] for item in self.inputs_]


def voyage_routes(state: EmulatorState) -> list[web.RouteDef]:
    """Return the routes, bound to the shared state."""
    texts, mixed = VoyageEmbeddings(_VoyageTexts), VoyageEmbeddings(_VoyageMultimodal)

    async def embed(request: web.Request) -> web.StreamResponse:
        return await converse(state, texts, request)

    async def embed_mixed(request: web.Request) -> web.StreamResponse:
        return await converse(state, mixed, request)

    return [web.post(f"{PREFIX}/embeddings", embed), web.post(f"{PREFIX}/multimodalembeddings", embed_mixed)]


class VoyageEmbeddings:
    """Embeddings, of texts alone or of texts and pictures together."""

    refusal_words: tuple[str, ...] = ()

    def __init__(self, body: type[_VoyageTexts | _VoyageMultimodal]) -> None:
        self._body = body

    def read(self, request: web.Request, body: Any) -> ParsedRequest:
        key = bearer(request.headers)
        try:
            embed = self._body.model_validate(body)
        except ValidationError as error:
            return ParsedRequest(vendor=NAME, key=key, wrong=invalid(error))
        row = rules_of(embed.model)
        dimensions = embed.output_dimension or row.dimensions or DIMENSIONS
        as_base64 = embed.encoding_format == "base64"
        return parse_embedding(NAME, embed.model, key, embed.inputs(), dimensions, as_base64)

    def refusal_response(
        self, refusal: VendorRefusal, parsed: ParsedRequest, limit_status: LimitStatus
    ) -> web.Response:
        status, message = _REASONS.get(refusal.reason, (500, "Internal server error."))
        # Voyage's errors have no code, and do not say when to come back.
        body = {"detail": refusal.message or message}
        return web.json_response(body, status=refusal.status or status, headers=refusal.headers)

    def headers(self, limit_status: LimitStatus) -> dict[str, str]:
        return {}

    def response_body(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Any:
        rows = [
            {"object": "embedding", "embedding": vector(content, parsed.dimensions, parsed.as_base64), "index": index}
            for index, content in enumerate(parsed.inputs)
        ]
        usage = {} if answer.unreported_usage else {"usage": self._usage(answer.token_counts)}
        return {"object": "list", "data": rows, "model": parsed.model} | usage

    def frames(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Iterable[StreamFrame]:
        # Embeddings are not streamed.
        return ()

    def overload(self) -> bytes:
        return b""

    def _usage(self, token_counts: TokenCounts) -> dict[str, int]:
        text = token_counts.input_tokens - token_counts.image_tokens
        total = text + -(-token_counts.image_px // PX_A_TOKEN)
        if self._body is _VoyageTexts:
            return {"total_tokens": total}
        return {"text_tokens": text, "image_pixels": token_counts.image_px, "video_pixels": 0, "total_tokens": total}
