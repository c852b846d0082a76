"""Adapter of Google's Gemini models through the google-genai SDK."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from typing import Any

from google import genai
from google.genai import errors, types

from deployments.providers.base import StreamingProvider
from deployments.providers.errors import VendorResponse, retry_after_s
from deployments.providers.gemini.answers import AnswerReader
from deployments.providers.gemini.config import request_config
from deployments.providers.gemini.contents import request_contents
from deployments.providers.http_session import Responses, Session
from deployments.providers.timeouts import streamed
from deployments.providers.vendor_call import VendorCall
from routing.catalogue import Model
from routing.errors import ProviderRefused
from routing.models import Delta, EmbeddingResult, EmbedRequest, ModelRequest

Json = dict[str, Any]


class GeminiProvider(StreamingProvider):
    """One client and one session for each replica. The router retries, so the SDK's own retries are off."""

    def __init__(self, api_key: str, base_url: str | None = None, api_version: str | None = None) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._api_version = api_version
        self._session = Session()
        self._made: genai.Client | None = None

    def stream(
        self, model: Model, request: ModelRequest, call: VendorCall | None = None
    ) -> AsyncGenerator[Delta, None]:
        return streamed(self._deltas(model, request), request, error_response, call)

    async def embed(self, model: Model, request: EmbedRequest, call: VendorCall | None = None) -> EmbeddingResult:
        raise ProviderRefused(f"{model.name} makes no embeddings.", "model")

    def warm_up(self) -> None:
        # A client takes 0.1 s to make, and pydantic builds the SDK's models at their first use.
        self._client()
        types.GenerateContentResponse.model_validate({"candidates": [{"content": {"parts": [{"text": ""}]}}]})

    async def aclose(self) -> None:
        await self._session.aclose()

    def _client(self) -> genai.Client:
        if self._made is None:
            options = types.HttpOptions(
                base_url=self._base_url,
                api_version=self._api_version,
                # Without this the SDK sleeps 1 to 10 s after a failed connection and tries again.
                retry_options=types.HttpRetryOptions(attempts=1),
                aiohttp_client=self._session.get(),
            )
            self._made = genai.Client(api_key=self._api_key, vertexai=False, http_options=options)
        return self._made

    async def _deltas(self, model: Model, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        opened, reader = Responses(), AnswerReader(model)
        opened.watch()
        try:
            chunks = await self._client().aio.models.generate_content_stream(**_arguments(model, request))
            async for response in chunks:
                yield reader.read(response)
        finally:
            opened.close()


def _arguments(model: Model, request: ModelRequest) -> Json:
    return {
        "model": model.vendor_name,
        "contents": request_contents(model, request),
        "config": request_config(model, request),
    }


def error_response(error: Exception) -> VendorResponse | None:
    """Return the error response of the vendor, or None if the exception carries none."""
    if not isinstance(error, errors.APIError):
        return None
    details = list(_details(error))
    waits = [_delay_s(row.get("retryDelay")) for row in details]
    headers = getattr(error.response, "headers", None) or {}
    return VendorResponse(
        status=error.code,
        codes=(*_reasons(details), error.status),
        retry_after_s=retry_after_s(headers, *waits),
        message=error.message,
        param=next(_fields(details), None),
    )


def _details(error: errors.APIError) -> Iterator[Json]:
    body = error.details if isinstance(error.details, dict) else {}
    inner = body.get("error", body)
    rows = inner.get("details") if isinstance(inner, dict) else None
    yield from (row for row in rows or () if isinstance(row, dict))


def _reasons(details: list[Json]) -> Iterator[str]:
    """Yield the codes that refine the status: a wrong key has status 400, an exhausted daily quota 429."""
    for row in details:
        if row.get("reason"):
            yield str(row["reason"])
        if any("PerDay" in str(violation.get("quotaId")) for violation in row.get("violations") or ()):
            yield "quota_exceeded"


def _fields(details: list[Json]) -> Iterator[Any]:
    """Yield the fields of the request that the vendor names as wrong."""
    for row in details:
        yield from (wrong["field"] for wrong in row.get("fieldViolations") or () if wrong.get("field"))


def _delay_s(delay: Any) -> float | None:
    """Return the seconds of a protobuf duration, "46s" or "3.5s"."""
    try:
        return float(str(delay).removesuffix("s"))
    except ValueError:
        return None
