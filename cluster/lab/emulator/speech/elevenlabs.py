"""ElevenLabs' protocol under /elevenlabs: speech by HTTP and websocket, and the account routes of a key check."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, Final

from aiohttp import web

from cluster.lab.emulator.core.admission import check_admission
from cluster.lab.emulator.core.capacity import LimitStatus
from cluster.lab.emulator.core.content import RequestContent
from cluster.lab.emulator.core.protocol import MAX_EXCHANGE_S, VendorRefusal, read_json
from cluster.lab.emulator.core.request import EmulatedRequest, EmulatorState, ParsedRequest, RequestProblem
from cluster.lab.emulator.core.response_writer import ConnectionBroken, ResponseWriter
from cluster.lab.emulator.speech.elevenlabs_live import CharacterQuota, Synthesis, chunks, rate_hz
from routing.errors import BadInput

VENDOR: Final = "elevenlabs"
PREFIX: Final = "/elevenlabs"
DEFAULT_MODEL: Final = "eleven_multilingual_v2"
"""The model of a request without one; assumed, because the vendor's SDK uses this model in its examples."""
MODELS: Final = ("eleven_turbo_v2_5", "eleven_flash_v2_5", DEFAULT_MODEL)
VOICES: Final = {"hpp4J3VqNfWAUOO0d1Us": "Bella", "EXAVITQu4vr4xnSDxMaL": "Sarah"}
LEGACY_VOICES: Final = {"21m00Tcm4TlvDq8ikWAM": "Rachel"}
"""Valid by id, but listed only with `show_legacy`."""
UNLIMITED_CHARACTERS: Final = 1_000_000_000
"""Enough characters for any load test."""
_REASONS: Final[dict[str, tuple[int, str, str]]] = {
    "no_key": (401, "invalid_api_key", "Invalid API key"),
    "bad_request": (400, "invalid_request", "The request is not valid"),
    "unknown_model": (400, "model_not_found", "A model with this id does not exist"),
    "requests": (429, "rate_limit_exceeded", "Too many requests"),
    "tokens": (429, "rate_limit_exceeded", "Too many requests"),
    "concurrent": (429, "too_many_concurrent_requests", "Too many concurrent requests for this subscription"),
    "overloaded": (429, "system_busy", "The system is busy, please try again"),
}
_CODES: Final = {401: "invalid_api_key", 403: "missing_permissions", 404: "voice_not_found", 429: "system_busy"}


def elevenlabs_routes(state: EmulatorState, characters: int = UNLIMITED_CHARACTERS) -> list[web.RouteDef]:
    """Return the routes of an account with a quota of `characters`."""
    api = _ElevenLabsApi(state, CharacterQuota(characters))
    speech = f"{PREFIX}/v1/text-to-speech/{{voice}}"
    return [
        web.post(speech, api.speech),
        web.post(f"{speech}/stream", api.speech),
        web.get(f"{speech}/stream-input", api.stream_input),
        web.get(f"{speech}/multi-stream-input", api.multi_stream_input),
        web.get(f"{PREFIX}/v1/voices", api.voices),
        web.get(f"{PREFIX}/v2/voices", api.voices),
        web.get(f"{PREFIX}/v1/voices/{{voice}}", api.voice),
        web.get(f"{PREFIX}/v1/models", api.models),
        web.get(f"{PREFIX}/v1/user/subscription", api.subscription),
    ]


class _ElevenLabsApi:
    def __init__(self, state: EmulatorState, account: CharacterQuota) -> None:
        self._state, self._account = state, account

    async def speech(self, request: web.Request) -> web.StreamResponse:
        body = await read_json(request)
        text, writer = _text(body), ResponseWriter(request)
        try:
            async with asyncio.timeout(MAX_EXCHANGE_S):
                async with self._state.exchange(request.path, _parse_request(request, body, text)) as exchange:
                    writer.break_after(exchange.fault.reset_after_bytes)
                    rejection = await check_admission(exchange, _refusal_response) or self._over_quota(exchange, text)
                    if rejection is not None:
                        return await writer.complete(rejection)
                    return await self._stream_speech(request, exchange, text, writer)
        except (ConnectionBroken, ConnectionError):
            return writer.response

    async def stream_input(self, request: web.Request) -> web.StreamResponse:
        return await self._socket(request, multi=False)

    async def multi_stream_input(self, request: web.Request) -> web.StreamResponse:
        return await self._socket(request, multi=True)

    async def voices(self, request: web.Request) -> web.StreamResponse:
        legacy = LEGACY_VOICES if request.query.get("show_legacy") == "true" else {}
        rows = [_voice(key, name) for key, name in (VOICES | legacy).items()]
        paging = {"has_more": False, "total_count": len(rows), "next_page_token": None}
        return await self._respond(request, {"voices": rows} | paging)

    async def voice(self, request: web.Request) -> web.StreamResponse:
        voice = request.match_info["voice"]
        name = (VOICES | LEGACY_VOICES).get(voice)
        return await self._respond(request, None if name is None else _voice(voice, name))

    async def models(self, request: web.Request) -> web.StreamResponse:
        english = [{"language_id": "en", "name": "English"}]
        rows = [{"model_id": model, "name": model, "can_do_text_to_speech": True} for model in MODELS]
        return await self._respond(request, [row | {"languages": english} for row in rows])

    async def subscription(self, request: web.Request) -> web.StreamResponse:
        return await self._respond(request, _subscription(self._account))

    async def _socket(self, request: web.Request, multi: bool) -> web.StreamResponse:
        parsed = _parse_request(request, {"model_id": request.query.get("model_id")}, "")
        async with asyncio.timeout(MAX_EXCHANGE_S):
            async with self._state.exchange(request.path, parsed) as exchange:
                rejection = await check_admission(exchange, _refusal_response)
                if rejection is not None:
                    return rejection
                synthesis = Synthesis(self._state, self._account, request, exchange, multi)
                code, reason = await synthesis.run()
            await synthesis.socket.close(code=code, message=reason.encode())
            return synthesis.socket

    async def _respond(self, request: web.Request, body: Any) -> web.StreamResponse:
        """Answer an account request; a body of None is an unknown voice (404)."""
        parsed = ParsedRequest(vendor=VENDOR, key=request.headers.get("xi-api-key"))
        async with self._state.exchange(request.path, parsed) as exchange:
            rejection = await check_admission(exchange, _refusal_response)
            if rejection is None:
                exchange.answered(404 if body is None else 200)
            missing = _error(404, "voice_not_found", "A voice with this id was not found") if body is None else None
            return rejection or missing or web.json_response(body)

    def _over_quota(self, exchange: EmulatedRequest, text: str) -> web.Response | None:
        if self._account.spend(len(text)):
            return None
        exchange.answered(401)
        return _error(401, "quota_exceeded", self._account.refusal())

    async def _stream_speech(
        self, request: web.Request, exchange: EmulatedRequest, text: str, writer: ResponseWriter
    ) -> web.StreamResponse:
        exchange.note(characters=len(text))
        voice = self._state.engines.voice(request.match_info["voice"], rate_hz(request.query))
        fault = exchange.fault
        await exchange.first_token()
        head = {"Content-Type": "audio/pcm", "request-id": str(uuid.uuid4())}
        cost = {} if fault.unreported_usage else {"character-cost": str(len(text))}
        await writer.begin(head | cost | _limit_headers(exchange.limit_status()) | fault.headers)
        exchange.answered(200)
        for number, speech in enumerate(chunks(voice, text)):
            if number == fault.stall_after_chunks:
                await exchange.pause(fault.stall_s)
            if number in (fault.cut_after_chunks, fault.overload_after_chunks):
                break
            if number == fault.reset_after_chunks:
                await writer.reset()
            if number:
                await exchange.next_tokens(len(speech.text))
            await writer.write(speech.pcm)
        return writer.response


def _voice(voice: str, name: str) -> dict[str, str]:
    return {"voice_id": voice, "name": name, "category": "premade"}


def _text(body: Any) -> str:
    text = body.get("text") if isinstance(body, dict) else None
    return text if isinstance(text, str) else ""


def _parse_request(request: web.Request, body: Any, text: str) -> ParsedRequest:
    problem = None
    try:
        rate_hz(request.query)
        if request.method == "POST" and not text.strip():
            raise BadInput("A text is needed.", "text")
    except BadInput as error:
        problem = RequestProblem(error.message)
    model = (body.get("model_id") if isinstance(body, dict) else None) or DEFAULT_MODEL
    return ParsedRequest(
        vendor=VENDOR,
        model=str(model),
        key=request.headers.get("xi-api-key") or None,
        stream=not request.path.endswith(request.match_info["voice"]),
        content=RequestContent(characters=len(text)),
        wrong=problem,
    )


def _refusal_response(refusal: VendorRefusal, parsed: ParsedRequest, limit_status: LimitStatus) -> web.Response:
    if refusal.reason == "fault":
        status = refusal.status or 500
        code, text = _CODES.get(status, "internal_server_error"), f"emulated {status}"
    else:
        status, code, text = _REASONS[refusal.reason]
    headers = _limit_headers(limit_status) | refusal.headers
    # ElevenLabs sends no Retry-After, so only a fault does.
    if refusal.reason == "fault" and refusal.retry_after_s is not None:
        headers["Retry-After"] = f"{refusal.retry_after_s:g}"
    return _error(status, refusal.code or code, refusal.message or text, headers)


def _error(status: int, code: str, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"detail": {"status": code, "message": text}}, status=status, headers=headers)


def _limit_headers(limit_status: LimitStatus) -> dict[str, str]:
    if limit_status.concurrent is None:
        return {}
    current = min(limit_status.in_flight, limit_status.concurrent)
    return {"current-concurrent-requests": str(current), "maximum-concurrent-requests": str(limit_status.concurrent)}


def _subscription(account: CharacterQuota) -> dict[str, Any]:
    """Return the subscription of an account; the SDK requires every field."""
    slots = dict.fromkeys(("voice_slots_used", "professional_voice_slots_used", "voice_add_edit_counter"), 0)
    slots |= {"professional_voice_slots_used_in_workspace": 0, "voice_limit": 10, "professional_voice_limit": 0}
    permissions = dict.fromkeys(("can_extend_voice_limit", "can_use_professional_voice_cloning"), False)
    permissions |= {"can_extend_character_limit": False, "allowed_to_extend_character_limit": False}
    return {
        "tier": "emulated",
        "character_count": account.used,
        "character_limit": account.limit,
        "max_credit_limit_extension": 0,
        "can_use_instant_voice_cloning": True,
        "current_overage": {"amount": "0", "currency": "usd"},
        "status": "active",
        "open_invoices": [],
        "has_open_invoices": False,
        **slots,
        **permissions,
    }
