"""Adapter of Voyage embeddings of text and pictures through the voyageai SDK."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pybase64
import voyageai
from voyageai.api_resources import Embedding, MultimodalEmbedding

from deployments.providers.base import served_name
from deployments.providers.errors import VendorResponse, from_reply, retry_after_s
from deployments.providers.http_session import Session
from deployments.providers.timeouts import CONNECT_TIMEOUT_S, answered
from deployments.providers.usage import from_voyage
from deployments.providers.vendor_call import VendorCall
from routing.catalogue import Model
from routing.chat import Image, Message
from routing.errors import ProviderRefused, ProviderTruncated
from routing.models import Answer, Delta, EmbeddingResult, EmbedRequest, ModelRequest

# The SDK takes 0.5 ms of CPU a call more than a bare request would (2 shared cores, 2026-11-25), which is little
# beside the vendor's tenth of a second. Its resources have no types.
_TEXTS: Any = Embedding
_MIXED: Any = MultimodalEmbedding


class VoyageProvider:
    """One session for each replica. The router retries; the SDK's resources, unlike its client, do not."""

    def __init__(self, api_key: str, base_url: str | None = None) -> None:
        # The SDK appends a path with a leading slash, and a doubled slash is another path.
        self._account = {"api_key": api_key, "base_url": base_url and base_url.rstrip("/")}
        self._session = Session(_check)

    async def answer(self, model: Model, request: ModelRequest, call: VendorCall | None = None) -> Answer:
        raise ProviderRefused(f"{model.name} makes embeddings only.", "model")

    async def stream(
        self, model: Model, request: ModelRequest, call: VendorCall | None = None
    ) -> AsyncGenerator[Delta, None]:
        raise ProviderRefused(f"{model.name} makes embeddings only.", "model")
        yield

    async def embed(self, model: Model, request: EmbedRequest, call: VendorCall | None = None) -> EmbeddingResult:
        if not _sees(model) and any(message.images for message in request.inputs):
            raise ProviderRefused(f"{model.name} embeds text only.", "input")
        if any(message.token_ids for message in request.inputs):
            raise ProviderRefused(f"{model.name} embeds no token ids.", "input")
        return await answered(self._embed(model, request), request.timeout_s, _reply, call)

    def warm_up(self) -> None:
        """Do nothing: the SDK imports everything together with this module."""

    async def aclose(self) -> None:
        await self._session.aclose()

    async def _embed(self, model: Model, request: EmbedRequest) -> EmbeddingResult:
        # Without this session the SDK would open a session and a connection for each call.
        token = voyageai.aiosession.set(self._session.get())
        try:
            result = await self._post(model, request)
        finally:
            voyageai.aiosession.reset(token)
        rows = sorted(result.data, key=lambda row: row.index)
        if len(rows) != len(request.inputs):
            raise ProviderTruncated(phase="parse")
        vectors = tuple(tuple(row.embedding) for row in rows)
        usage = from_voyage(getattr(result, "usage", None))
        return EmbeddingResult(vectors=vectors, model=served_name(model, False), usage=usage)

    async def _post(self, model: Model, request: EmbedRequest) -> Any:
        # The SDK's client rejects vectors without usage, although they are billed, so the resources are used.
        body: dict[str, Any] = self._account | {
            "model": model.vendor_name,
            "request_timeout": (CONNECT_TIMEOUT_S, request.timeout_s),
        }
        if request.dimensions is not None:
            body["output_dimension"] = request.dimensions
        if not _sees(model):
            return await _TEXTS.acreate(input=[message.text for message in request.inputs], **body)
        inputs = [{"content": _content(message)} for message in request.inputs]
        return await _MIXED.acreate(inputs=inputs, **body)


async def _check(response: aiohttp.ClientResponse) -> None:
    # The SDK handles four of the 5xx codes and treats any other one as an answer.
    if response.status >= 500:
        response.release()
        raise from_reply(
            VendorResponse(status=response.status, retry_after_s=retry_after_s(response.headers)), "first_token"
        )


def _sees(model: Model) -> bool:
    return "multimodal" in model.vendor_name


def _content(message: Message) -> list[dict[str, str]]:
    # As data URIs and not as PIL images: the SDK encodes those to lossless WebP, up to 0.6 s on the event loop.
    return [_part(part) for part in message.content if part]


def _part(part: str | Image) -> dict[str, str]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    url = f"data:{part.media_type};base64," + pybase64.b64encode_as_string(part.data)
    return {"type": "image_base64", "image_base64": url}


def _reply(error: Exception) -> VendorResponse | None:
    status = getattr(error, "http_status", None)
    if not isinstance(error, voyageai.error.VoyageError) or status is None or status < 400:
        return None
    return VendorResponse(
        status=status,
        codes=(error.code,),
        retry_after_s=retry_after_s(error.headers),
        message=error.user_message,
    )
