"""Adapter of Google's Gemini models through the google-genai SDK."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from typing import Any

from google import genai
from google.genai import errors, types

from deployments.providers.base import served_name, system_text, thinks
from deployments.providers.errors import VendorResponse, retry_after_s
from deployments.providers.http_session import Responses, Session
from deployments.providers.timeouts import answered, finished, streamed
from deployments.providers.usage import from_gemini
from routing.catalogue import Model
from routing.chat import Image, Message
from routing.errors import ProviderRefused
from routing.models import Answer, Delta, EmbeddingResult, EmbedRequest, Finish, ModelRequest

# Every reason that is missing here means that one of the vendor's filters stopped the answer.
_FINISH: dict[str, Finish | None] = {
    "FINISH_REASON_UNSPECIFIED": None,
    "MALFORMED_RESPONSE": None,
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "MALFORMED_FUNCTION_CALL": "tool_calls",
    "UNEXPECTED_TOOL_CALL": "tool_calls",
    "TOO_MANY_TOOL_CALLS": "tool_calls",
}
_ROLES = {"user": "user", "assistant": "model"}
_THINKING = ("gemini-2.5-flash",)
"""Models that think by default and allow to switch it off; Google's model pages, read 2026-11-25."""


class GeminiProvider:
    """One client and one session for each replica. The router retries, so the SDK's own retries are off."""

    def __init__(self, api_key: str, base_url: str | None = None, api_version: str | None = None) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._api_version = api_version
        self._session = Session()
        self._made: genai.Client | None = None

    async def answer(self, model: Model, request: ModelRequest) -> Answer:
        return await answered(self._answer(model, request), request.timeout_s, _reply)

    def stream(self, model: Model, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        return streamed(self._deltas(model, request), request, _reply)

    async def embed(self, model: Model, request: EmbedRequest) -> EmbeddingResult:
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

    async def _answer(self, model: Model, request: ModelRequest) -> Answer:
        response = await self._client().aio.models.generate_content(**_request(model, request))
        delta = _delta(response)
        return Answer(
            text=delta.text, model=served_name(model, False), finish=finished(delta.finish), usage=delta.usage
        )

    async def _deltas(self, model: Model, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        opened = Responses()
        opened.watch()
        try:
            async for response in await self._client().aio.models.generate_content_stream(**_request(model, request)):
                yield _delta(response)
        finally:
            opened.close()


def _request(model: Model, request: ModelRequest) -> dict[str, Any]:
    contents = [
        types.Content(role=_ROLES[message.role], parts=list(_parts(message)))
        for message in request.messages
        if message.role != "system"
    ]
    return {"model": model.vendor_name, "contents": contents, "config": _config(model, request)}


def _parts(message: Message) -> Iterator[types.Part]:
    for part in message.content:
        if isinstance(part, Image):
            yield types.Part.from_bytes(data=part.data, mime_type=part.media_type)
        elif part:
            yield types.Part.from_text(text=part)


def _config(model: Model, request: ModelRequest) -> types.GenerateContentConfig:
    stops_thinking = model.vendor_name.startswith(_THINKING) and not thinks(request)
    return types.GenerateContentConfig(
        system_instruction=system_text(request) or None,
        max_output_tokens=request.max_output_tokens,
        temperature=request.options.temperature,
        thinking_config=types.ThinkingConfig(thinking_budget=0) if stops_thinking else None,
        # The router uses no function calls and makes one request per attempt.
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        automatic_continuation=False,
    )


def _delta(response: types.GenerateContentResponse) -> Delta:
    usage = from_gemini(response.usage_metadata)
    feedback = response.prompt_feedback
    if feedback is not None and feedback.block_reason is not None:
        return Delta(finish="refusal", usage=usage)
    if not response.candidates:
        return Delta(usage=usage)
    candidate = response.candidates[0]
    parts = (candidate.content and candidate.content.parts) or []
    text = "".join(part.text for part in parts if part.text and not part.thought)
    return Delta(text=text, finish=_finish(candidate.finish_reason), usage=usage)


def _finish(reason: types.FinishReason | None) -> Finish | None:
    return _FINISH.get(reason.value, "refusal") if reason else None


def _reply(error: Exception) -> VendorResponse | None:
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
    )


def _details(error: errors.APIError) -> Iterator[dict[str, Any]]:
    body = error.details if isinstance(error.details, dict) else {}
    inner = body.get("error", body)
    rows = inner.get("details") if isinstance(inner, dict) else None
    yield from (row for row in rows or () if isinstance(row, dict))


def _reasons(details: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the codes that refine the status: a wrong key has status 400, an exhausted daily quota 429."""
    for row in details:
        if row.get("reason"):
            yield str(row["reason"])
        if any("PerDay" in str(violation.get("quotaId")) for violation in row.get("violations") or ()):
            yield "quota_exceeded"


def _delay_s(delay: Any) -> float | None:
    """Return the seconds of a protobuf duration, "46s" or "3.5s"."""
    try:
        return float(str(delay).removesuffix("s"))
    except ValueError:
        return None
