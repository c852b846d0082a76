"""Synthesize the text of an ElevenLabs websocket, context by context."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import WSMsgType, web
from pydantic import Field, ValidationError

from cluster.lab.emulator.core.admission import first_byte_s
from cluster.lab.emulator.core.parsing import Lenient
from cluster.lab.emulator.core.request import EmulatedRequest, EmulatorState
from cluster.lab.emulator.core.request_log import LoggedRequest
from cluster.lab.emulator.core.tone import SpeechSource, ToneSpeech
from cluster.lab.emulator.speech.ws_sender import DISCONNECTED, DONE, Close, WsSender, sending, speech_socket
from routing.errors import BadInput

CHUNK_SCHEDULE: Final = (120, 160, 250, 290)
"""The number of characters to buffer before each piece: the default that elevenlabs 2.78 documents."""
CHARACTERS_PER_CHUNK: Final = 20
RATES_HZ: Final = {f"pcm_{rate_hz}": rate_hz for rate_hz in (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)}
DEFAULT_FORMAT: Final = "mp3_44100_128"


def rate_hz(query: Mapping[str, str]) -> int:
    """Return the sample rate of a query's output format. Raises BadInput."""
    requested = query.get("output_format", DEFAULT_FORMAT)
    if requested not in RATES_HZ:
        raise BadInput(f"The emulator speaks PCM only: one of {', '.join(RATES_HZ)}.", "output_format")
    return RATES_HZ[requested]


def chunks(voice: SpeechSource, text: str) -> Iterator[ToneSpeech]:
    """Yield a text's audio in the chunks to send."""
    return voice.pieces(text, CHARACTERS_PER_CHUNK)


@dataclass(slots=True, kw_only=True)
class SpeechContext:
    """One text stream: the buffered text and the synthesized one."""

    voice: SpeechSource
    immediate: bool
    schedule: tuple[int, ...] = CHUNK_SCHEDULE
    buffered: str = field(default="", repr=False)
    synthesized: str = field(default="", repr=False)
    pieces: int = 0

    @property
    def characters(self) -> int:
        """The number of billed characters: those synthesized, without surrounding spaces."""
        return len(self.synthesized.strip())

    def buffer(self, text: str, flush: bool) -> str:
        """Buffer more text; return the piece that is now due for synthesis, or an empty string."""
        self.buffered += text
        if not self.synthesized:
            self.buffered = self.buffered.lstrip()
        due = flush or self.immediate or len(self.buffered) >= self.schedule[min(self.pieces, len(self.schedule) - 1)]
        if not due or not self.buffered.strip():
            return ""
        piece, self.buffered = self.buffered, ""
        self.synthesized += piece
        self.pieces += 1
        return piece


class CharacterQuota:
    """The number of characters that an account may still use."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0

    def spend(self, characters: int) -> bool:
        """Spend `characters`. Returns False and spends nothing if the quota would be exceeded."""
        if self.used + characters > self.limit:
            return False
        self.used += characters
        return True

    def refusal(self) -> str:
        return f"This request exceeds your quota of {self.limit}. You have {self.limit - self.used} credits remaining."


MAX_CONTEXTS: Final = 5
IDLE_S: Final = 20.0
MIN_IDLE_S: Final = 0.1
MAX_IDLE_S: Final = 180.0
REFUSED_CODE: Final = 1008


class _GenerationConfig(Lenient):
    chunk_length_schedule: list[int] = Field(list(CHUNK_SCHEDULE), min_length=1)


class _ElevenLabsMessage(Lenient):
    text: str | None = None
    context_id: str | None = None
    flush: bool = False
    close_context: bool = False
    close_socket: bool = False
    generation_config: _GenerationConfig | None = None


class Synthesis:
    """One socket and its contexts; a socket that is not `multi` has a single unnamed context."""

    def __init__(
        self,
        state: EmulatorState,
        account: CharacterQuota,
        request: web.Request,
        exchange: EmulatedRequest,
        multi: bool,
    ) -> None:
        self._state, self._account, self._request, self._exchange = state, account, request, exchange
        self._multi = multi
        self._contexts: dict[str | None, SpeechContext] = {}
        self._log_numbers: dict[str | None, int] = {}
        self.socket = speech_socket()

    async def run(self) -> Close:
        """Synthesize text until the client finishes, is idle or disconnects; return the close code and reason."""
        await self.socket.prepare(self._request)
        self._exchange.answered(101)
        idle_s = idle_limit_s(self._request.query.get("inactivity_timeout"))
        try:
            async with sending(self._state, self._request, self.socket, self._exchange.fault) as sender:
                return await self._receive_all(sender, idle_s)
        finally:
            for name in list(self._log_numbers):
                self._note(name, ended_at_s=self._state.clock())

    async def _receive_all(self, sender: WsSender, idle_s: float) -> Close:
        while True:
            try:
                received = await self.socket.receive(timeout=idle_s)
            except TimeoutError:
                return await _fail(sender, "input_timeout_exceeded", "No text was received in time.")
            if received.type is not WSMsgType.TEXT:
                return DISCONNECTED
            try:
                message = _ElevenLabsMessage.model_validate_json(received.data)
            except ValidationError:
                return await _fail(sender, "invalid_message", "The message could not be read.")
            close = await self._handle(message, sender)
            if close is not None:
                return close

    async def _handle(self, message: _ElevenLabsMessage, sender: WsSender) -> Close | None:
        name = message.context_id if self._multi else None
        if message.close_socket or (not self._multi and message.text == ""):
            return await self._finish_all(sender)
        if message.close_context:
            return await self._finish(name, sender)
        if name not in self._contexts:
            if len(self._contexts) >= MAX_CONTEXTS:
                return await _fail(
                    sender,
                    "max_active_conversations",
                    f"Maximum simultaneous contexts per WebSocket connection exceeded ({MAX_CONTEXTS}).",
                )
            self._open(name, message)
        return await self._speak(name, message.text or "", message.flush, sender)

    def _open(self, name: str | None, message: _ElevenLabsMessage) -> None:
        query = self._request.query
        schedule = message.generation_config.chunk_length_schedule if message.generation_config else CHUNK_SCHEDULE
        self._contexts[name] = SpeechContext(
            voice=self._state.engines.voice(self._request.match_info["voice"], rate_hz(query)),
            immediate=query.get("auto_mode") == "true",
            schedule=tuple(schedule),
        )
        # Each context has its own log entry; the socket's entry counts no characters.
        parsed, now_s = self._exchange.request, self._state.clock()
        self._log_numbers[name] = self._state.journal.open(
            LoggedRequest(
                path=self._request.path,
                vendor=parsed.vendor,
                model=parsed.model,
                stream=True,
                status=200,
                arrived_at_s=now_s,
                answered_at_s=now_s,
            )
        )

    async def _speak(self, name: str | None, text: str, flush: bool, sender: WsSender) -> Close | None:
        context = self._contexts[name]
        billed_before = context.characters
        piece = context.buffer(text, flush)
        if not self._account.spend(context.characters - billed_before):
            return await _fail(sender, "quota_exceeded", self._account.refusal())
        self._note(name, characters=context.characters)
        if piece:
            await self._send(name, piece, sender)
        return None

    async def _send(self, name: str | None, piece: str, sender: WsSender) -> None:
        parsed, delay_s = self._exchange.request, first_byte_s(self._state, self._exchange.request)
        for speech in chunks(self._contexts[name].voice, piece):
            alignment = speech.alignment()
            sound: dict[str, Any] = {"audio": base64.b64encode(speech.pcm).decode(), "isFinal": None}
            # elevenlabs 2.78 documents times that restart with each chunk, but LiveKit's plugin, the client here,
            # expects them to continue through the context.
            sound |= {"alignment": alignment, "normalizedAlignment": alignment}
            await sender.put(sound | self._context_field(name), delay_s, chunk=True)
            delay_s += len(speech.text) * self._state.latency.next_token_s(parsed.model)

    async def _finish(self, name: str | None, sender: WsSender) -> Close | None:
        if name not in self._contexts:
            return None
        close = await self._speak(name, "", True, sender)
        if close is not None:
            return close
        await sender.put({"audio": None, "isFinal": True} | self._context_field(name))
        self._note(name, ended_at_s=self._state.clock())
        del self._contexts[name], self._log_numbers[name]
        return None

    async def _finish_all(self, sender: WsSender) -> Close:
        for name in list(self._contexts):
            close = await self._finish(name, sender)
            if close is not None:
                return close
        return DONE

    def _context_field(self, name: str | None) -> dict[str, Any]:
        return {"contextId": name} if self._multi else {}

    def _note(self, name: str | None, **changes: Any) -> None:
        self._state.journal.change(self._log_numbers[name], **changes)


def idle_limit_s(requested: str | None) -> float:
    """Return the idle timeout of a socket. The vendor's help page says 20 s, at most 180; read 2026-11-25."""
    try:
        return min(max(MIN_IDLE_S, float(requested or IDLE_S)), MAX_IDLE_S)
    except ValueError:
        return IDLE_S


async def _fail(sender: WsSender, error: str, text: str) -> Close:
    await sender.put({"message": text, "error": error, "code": REFUSED_CODE})
    return REFUSED_CODE, error
