"""Deepgram's protocol under /deepgram: recorded and live speech, and the account routes of a key check."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from cluster.lab.emulator.core.admission import check_admission
from cluster.lab.emulator.core.capacity import LimitStatus
from cluster.lab.emulator.core.protocol import BODY_TIMEOUT_S, GARBAGE, MAX_EXCHANGE_S, VendorRefusal
from cluster.lab.emulator.core.request import EmulatedRequest, EmulatorState, ParsedRequest, RequestProblem
from cluster.lab.emulator.core.response_writer import ConnectionBroken, ResponseWriter
from cluster.lab.emulator.speech.deepgram_format import (
    MODEL_ID,
    UTTERANCE_SPLIT_MS,
    live_options,
    raw_format,
    read_wav,
    recorded,
)
from cluster.lab.emulator.speech.deepgram_live import LiveTranscription
from cluster.lab.emulator.speech.recognizer import PhraseScript, RecognitionOptions, RecognizedSpeech, StreamRecognizer
from routing.errors import BadInput, TooLarge

VENDOR: Final = "deepgram"
DEFAULT_MODEL: Final = "base"
"""The model of a query without one. From memory: the vendor's SDK always sets it."""
PROJECT_ID: Final = "00000000-0000-4000-8000-000000000001"
IDLE_S: Final = 10.0
# The statuses were tested with Deepgram's SDK and LiveKit's plugin; the codes are from memory of its error page.
_TOO_MANY: Final = (429, "TOO_MANY_REQUESTS", "Too many requests. Please try again later.")
_REFUSALS: Final[dict[str, tuple[int, str, str]]] = {
    "no_key": (401, "INVALID_AUTH", "Invalid credentials."),
    "bad_request": (400, "INVALID_QUERY_PARAMETER", "Bad Request."),
    "unknown_model": (400, "INVALID_QUERY_PARAMETER", "No such model/language/tier combination found."),
    "overloaded": (503, "SERVICE_UNAVAILABLE", "Please try again later."),
}
_CODES: Final = {401: "INVALID_AUTH", 402: "ASR_PAYMENT_REQUIRED", 403: "INSUFFICIENT_PERMISSIONS", 429: _TOO_MANY[1]}


class PlannedPhrases(BaseModel):
    """The body of `POST /_emulator/phrases`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    phrases: tuple[str, ...]


def deepgram_routes(state: EmulatorState, script: PhraseScript, idle_s: float = IDLE_S) -> list[web.RouteDef]:
    """Return the routes. Transcripts come from `script`; a live socket without input for `idle_s` is closed."""
    api = _DeepgramApi(state, script, idle_s)
    project = "/deepgram/v1/projects/{project_id}"
    return [
        web.post("/deepgram/v1/listen", api.recorded),
        web.get("/deepgram/v1/listen", api.live),
        web.get("/deepgram/v1/projects", api.projects),
        web.get(f"{project}/balances", api.balances),
        web.get(f"{project}/models", api.models),
        web.get("/deepgram/v1/models", api.models),
        web.post("/_emulator/phrases", api.phrases),
    ]


class _DeepgramApi:
    def __init__(self, state: EmulatorState, script: PhraseScript, idle_s: float) -> None:
        self._state, self._script, self._idle_s = state, script, idle_s

    async def recorded(self, request: web.Request) -> web.StreamResponse:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = await request.read()
        writer = ResponseWriter(request)
        try:
            async with self._state.exchange(request.path, _parse_request(request, stream=False)) as exchange:
                writer.break_after(exchange.fault.reset_after_bytes)
                rejection = await check_admission(exchange, _refusal_response)
                return await writer.complete(rejection or await self._transcribe(request, exchange, body))
        except ConnectionBroken:
            return writer.response

    async def live(self, request: web.Request) -> web.StreamResponse:
        parsed = _parse_request(request, stream=True)
        async with asyncio.timeout(MAX_EXCHANGE_S):
            async with self._state.exchange(request.path, parsed) as exchange:
                rejection = await check_admission(exchange, _refusal_response)
                if rejection is not None:
                    return rejection
                transcription = LiveTranscription(self._state, self._script, request, exchange)
                code, reason = await transcription.run(self._idle_s)
            await transcription.socket.close(code=code, message=reason.encode())
            return transcription.socket

    async def projects(self, request: web.Request) -> web.StreamResponse:
        return await self._respond(request, {"projects": [{"project_id": PROJECT_ID, "name": "emulated"}]})

    async def balances(self, request: web.Request) -> web.StreamResponse:
        balance = {"balance_id": PROJECT_ID, "amount": 200.0, "units": "usd", "purchase_order_id": PROJECT_ID}
        return await self._respond(request, {"balances": [balance]})

    async def models(self, request: web.Request) -> web.StreamResponse:
        nova: dict[str, Any] = {"name": "general", "canonical_name": "nova-3-general", "architecture": "nova-3"}
        nova |= {"languages": ["en", "en-US"], "version": "emulated", "uuid": MODEL_ID}
        nova |= {"batch": True, "streaming": True, "formatted_output": True}
        return await self._respond(request, {"stt": [nova], "tts": []})

    async def phrases(self, request: web.Request) -> web.Response:
        """Plan the next transcripts from another process."""
        try:
            planned = PlannedPhrases.model_validate_json(await request.read())
            self._script.add(*planned.phrases)
        except (ValidationError, TooLarge) as error:
            problem = (
                BadInput("A list of phrases is needed.", "phrases") if isinstance(error, ValidationError) else error
            )
            return web.json_response(problem.envelope(), status=problem.status)
        return web.json_response({"planned": len(self._script)})

    async def _respond(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        """Answer an account request."""
        parsed = ParsedRequest(vendor=VENDOR, key=_key(request))
        async with self._state.exchange(request.path, parsed) as exchange:
            rejection = await check_admission(exchange, _refusal_response)
            if rejection is None:
                exchange.answered(200)
            return rejection or web.json_response(body, headers={"dg-request-id": str(uuid.uuid4())})

    async def _transcribe(self, request: web.Request, exchange: EmulatedRequest, body: bytes) -> web.Response:
        query, request_id = request.query, str(uuid.uuid4())
        query_format = raw_format(query)
        pcm = read_wav(body) if query_format is None else replace(query_format, data=body)
        if pcm is None:
            exchange.answered(400)
            return _error(400, "Bad Request", "Bad Request: failed to process audio: corrupt or unsupported data")
        options = RecognitionOptions(endpointing_ms=UTTERANCE_SPLIT_MS)
        engines = self._state.engines
        recognizer = StreamRecognizer(pcm.sample_rate_hz, options, self._script.next, pcm.channels, engines.transcriber)
        events = [
            *await engines.run_transcriber(recognizer.feed, pcm.data),
            *await engines.run_transcriber(recognizer.flush),
        ]
        exchange.note(audio_ms=recognizer.audio_ms)
        await exchange.first_token()
        exchange.answered(200)
        words = [word for event in events if isinstance(event, RecognizedSpeech) for word in event.words]
        answer = recorded(words, query, request_id, body, recognizer.audio_ms)
        text = GARBAGE.decode() if exchange.fault.garbage else json.dumps(answer)
        return web.Response(text=text, content_type="application/json", headers={"dg-request-id": request_id})


def _parse_request(request: web.Request, stream: bool) -> ParsedRequest:
    problem = None
    try:
        raw_format(request.query)
        live_options(request.query)
    except BadInput as error:
        problem = RequestProblem(error.message)
    model = request.query.get("model", DEFAULT_MODEL)
    keyterms = len(request.query.getall("keyterm", ()))
    return ParsedRequest(vendor=VENDOR, model=model, key=_key(request), stream=stream, keyterms=keyterms, wrong=problem)


def _key(request: web.Request) -> str | None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() in ("token", "bearer") else None


def _refusal_response(refusal: VendorRefusal, parsed: ParsedRequest, limit_status: LimitStatus) -> web.Response:
    status, code, text = _REFUSALS.get(refusal.reason, _TOO_MANY)
    if refusal.reason == "fault":
        status = refusal.status or 500
        code, text = _CODES.get(status, "INTERNAL_SERVER_ERROR"), f"emulated {status}"
    headers = dict(refusal.headers)
    # Deepgram sends no Retry-After, so only a fault does.
    if refusal.reason == "fault" and refusal.retry_after_s is not None:
        headers["Retry-After"] = f"{refusal.retry_after_s:g}"
    return _error(status, refusal.code or code, refusal.message or text, headers)


def _error(status: int, code: str, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    request_id = str(uuid.uuid4())
    body = {"err_code": code, "err_msg": text, "request_id": request_id}
    return web.json_response(body, status=status, headers={"dg-request-id": request_id} | dict(headers or {}))
