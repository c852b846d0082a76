"""OpenAI's embeddings of texts and of token ids."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from aiohttp import web
from pydantic import Field, ValidationError

from cluster.lab.emulator.chat.openai.errors import NAME, OpenAIProtocol
from cluster.lab.emulator.core.answers import GeneratedAnswer
from cluster.lab.emulator.core.model_rules import rules_of
from cluster.lab.emulator.core.parsing import Lenient, bearer, invalid, parse_embedding, vector
from cluster.lab.emulator.core.protocol import StreamFrame
from cluster.lab.emulator.core.request import ParsedRequest

DIMENSIONS = 256
MAX_INPUTS = 2_048


class _OpenAIEmbeddingsRequest(Lenient):
    model: str
    input: str | list[str] | list[int] | list[list[int]] = Field(min_length=1, max_length=MAX_INPUTS)
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1, le=4_096)

    def texts(self) -> list[str]:
        """Return one text for each input; a list of token ids is one input, and each id one word."""
        if isinstance(self.input, str):
            return [self.input]
        if all(isinstance(token, int) for token in self.input):
            return [" ".join(map(str, self.input))]
        return [item if isinstance(item, str) else " ".join(map(str, item)) for item in self.input]  # type: ignore[arg-type]


class OpenAIEmbeddings(OpenAIProtocol):
    """Embeddings."""

    def read(self, request: web.Request, body: Any) -> ParsedRequest:
        try:
            embed = _OpenAIEmbeddingsRequest.model_validate(body)
        except ValidationError as error:
            return ParsedRequest(vendor=NAME, key=bearer(request.headers), wrong=invalid(error))
        return parse_embedding(
            NAME,
            embed.model,
            bearer(request.headers),
            [[text] for text in embed.texts()],
            embed.dimensions or rules_of(embed.model).dimensions or DIMENSIONS,
            embed.encoding_format == "base64",
        )

    def response_body(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Any:
        rows = [
            {"object": "embedding", "index": index, "embedding": vector(content, parsed.dimensions, parsed.as_base64)}
            for index, content in enumerate(parsed.inputs)
        ]
        tokens = answer.token_counts.input_tokens
        usage = {} if answer.unreported_usage else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
        return {"object": "list", "model": parsed.model, "data": rows} | usage

    def frames(self, parsed: ParsedRequest, answer: GeneratedAnswer) -> Iterable[StreamFrame]:
        # Embeddings are not streamed.
        return ()
