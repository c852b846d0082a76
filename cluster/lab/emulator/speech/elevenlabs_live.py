"""Speaks what an ElevenLabs websocket is sent, context by context. Knows no HTTP."""

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
from cluster.lab.emulator.speech.ws_sender import WsSender, sending
from routing.errors import BadInput

CHUNK_SCHEDULE: Final = (120, 160, 250, 290)
"""How many characters are waited for before each piece: the default, as elevenlabs 2.78 documents it."""
CHARACTERS_PER_CHUNK: Final = 20
RATES_HZ: Final = {f"pcm_{rate_hz}": rate_hz for rate_hz in (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)}
DEFAULT_FORMAT: Final = "mp3_44100_128"


def rate_hz(query: Mapping[str, str]) -> int:
    """Return the sample rate a query's output format names. Raises BadInput."""
    asked = query.get("output_format", DEFAULT_FORMAT)
    if asked not in RATES_HZ:
        raise BadInput(f"The emulator speaks PCM only: one of {', '.join(RATES_HZ)}.", "output_format")
    return RATES_HZ[asked]


def chunks(voice: SpeechSource, text: str) -> Iterator[ToneSpeech]:
    """Yield a text's sound in the pieces it is sent in."""
    return voice.pieces(text, CHARACTERS_PER_CHUNK)


@dataclass(slots=True, kw_only=True)
class SpeechContext:
    """One text on its way: what is held back and what has been spoken."""

    voice: SpeechSource
    at_once: bool
    schedule: tuple[int, ...] = CHUNK_SCHEDULE
    held: str = field(default="", repr=False)
    spoken: str = field(default="", repr=False)
    pieces: int = 0

    @property
    def characters(self) -> int:
        """How many characters are billed: those spoken, without the space around them."""
        return len(self.spoken.strip())

    def take(self, text: str, flush: bool) -> str:
        """Take in more text; return the piece that is due to be spoken because of it, or nothing."""
        self.held += text
        if not self.spoken:
            self.held = self.held.lstrip()
        due = flush or self.at_once or len(self.held) >= self.schedule[min(self.pieces, len(self.schedule) - 1)]
        if not due or not self.held.strip():
            return ""
        piece, self.held = self.held, ""
        self.spoken += piece
        self.pieces += 1
        return piece


class CharacterQuota:
    """How many characters a key has left."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0

    def spend(self, characters: int) -> bool:
        """Count what is about to be spoken; returns False, and counts nothing, where that is too much."""
        if self.used + characters > self.limit:
            return False
        self.used += characters
        return True

    def refusal(self) -> str:
        return f"This request exceeds your quota of {self.limit}. You have {self.limit - self.used} credits remaining."


MOST_CONTEXTS: Final = 5
IDLE_S: Final = 20.0
SHORTEST_IDLE_S: Final = 0.1
LONGEST_IDLE_S: Final = 180.0
CLOSE_TIMEOUT_S: Final = 2.0
MAX_MESSAGE_BYTES: Final = 1024 * 1024

Close = tuple[int, str]
DONE: Final[Close] = (1000, "")
LEFT: Final[Close] = (1000, "")
REFUSED_CODE: Final = 1008


class _Generation(Lenient):
    chunk_length_schedule: list[int] = Field(list(CHUNK_SCHEDULE), min_length=1)


class _Message(Lenient):
    text: str | None = None
    context_id: str | None = None
    flush: bool = False
    close_context: bool = False
    close_socket: bool = False
    generation_config: _Generation | None = None


class Synthesis:
    """One socket and its contexts; a socket that is not `multi` has one context, without a name."""

    def __init__(
        self,
        house: EmulatorState,
        account: CharacterQuota,
        request: web.Request,
        exchange: EmulatedRequest,
        multi: bool,
    ) -> None:
        self._house, self._account, self._request, self._exchange = house, account, request, exchange
        self._multi = multi
        self._contexts: dict[str | None, SpeechContext] = {}
        self._lines: dict[str | None, int] = {}
        self.socket = web.WebSocketResponse(timeout=CLOSE_TIMEOUT_S, max_msg_size=MAX_MESSAGE_BYTES)

    async def run(self) -> Close:
        """Speak until the client is done, silent or gone; return how the socket is to be closed."""
        await self.socket.prepare(self._request)
        self._exchange.answered(101)
        idle_s = idle_limit_s(self._request.query.get("inactivity_timeout"))
        try:
            async with sending(self._house, self._request, self.socket, self._exchange.fault) as outbox:
                return await self._converse(outbox, idle_s)
        finally:
            for name in list(self._lines):
                self._note(name, ended_at_s=self._house.clock())

    async def _converse(self, outbox: WsSender, idle_s: float) -> Close:
        while True:
            try:
                got = await self.socket.receive(timeout=idle_s)
            except TimeoutError:
                return await _fail(outbox, "input_timeout_exceeded", "No text was received in time.")
            if got.type is not WSMsgType.TEXT:
                return LEFT
            try:
                message = _Message.model_validate_json(got.data)
            except ValidationError:
                return await _fail(outbox, "invalid_message", "The message could not be read.")
            close = await self._take(message, outbox)
            if close is not None:
                return close

    async def _take(self, message: _Message, outbox: WsSender) -> Close | None:
        name = message.context_id if self._multi else None
        if message.close_socket or (not self._multi and message.text == ""):
            return await self._finish_all(outbox)
        if message.close_context:
            return await self._finish(name, outbox)
        if name not in self._contexts:
            if len(self._contexts) >= MOST_CONTEXTS:
                return await _fail(
                    outbox,
                    "max_active_conversations",
                    f"Maximum simultaneous contexts per WebSocket connection exceeded ({MOST_CONTEXTS}).",
                )
            self._open(name, message)
        return await self._speak(name, message.text or "", message.flush, outbox)

    def _open(self, name: str | None, message: _Message) -> None:
        query = self._request.query
        schedule = message.generation_config.chunk_length_schedule if message.generation_config else CHUNK_SCHEDULE
        self._contexts[name] = SpeechContext(
            voice=self._house.senses.voice(self._request.match_info["voice"], rate_hz(query)),
            at_once=query.get("auto_mode") == "true",
            schedule=tuple(schedule),
        )
        # Each context is a line of its own beside the socket's, which counts no characters.
        asked, now_s = self._exchange.asked, self._house.clock()
        self._lines[name] = self._house.journal.open(
            LoggedRequest(
                path=self._request.path,
                vendor=asked.vendor,
                model=asked.model,
                stream=True,
                status=200,
                arrived_at_s=now_s,
                answered_at_s=now_s,
            )
        )

    async def _speak(self, name: str | None, text: str, flush: bool, outbox: WsSender) -> Close | None:
        context = self._contexts[name]
        billed = context.characters
        piece = context.take(text, flush)
        if not self._account.spend(context.characters - billed):
            return await _fail(outbox, "quota_exceeded", self._account.refusal())
        self._note(name, characters=context.characters)
        if piece:
            await self._send(name, piece, outbox)
        return None

    async def _send(self, name: str | None, piece: str, outbox: WsSender) -> None:
        asked, delay_s = self._exchange.asked, first_byte_s(self._house, self._exchange.asked)
        for speech in chunks(self._contexts[name].voice, piece):
            alignment = speech.alignment()
            sound: dict[str, Any] = {"audio": base64.b64encode(speech.pcm).decode(), "isFinal": None}
            # elevenlabs 2.78 documents times that begin anew with each chunk; LiveKit's plugin, the one in use, takes
            # them to run on through the context.
            sound |= {"alignment": alignment, "normalizedAlignment": alignment}
            await outbox.put(sound | self._named(name), delay_s, chunk=True)
            delay_s += len(speech.text) * self._house.pace.next_token_s(asked.model)

    async def _finish(self, name: str | None, outbox: WsSender) -> Close | None:
        if name not in self._contexts:
            return None
        close = await self._speak(name, "", True, outbox)
        if close is not None:
            return close
        await outbox.put({"audio": None, "isFinal": True} | self._named(name))
        self._note(name, ended_at_s=self._house.clock())
        del self._contexts[name], self._lines[name]
        return None

    async def _finish_all(self, outbox: WsSender) -> Close:
        for name in list(self._contexts):
            close = await self._finish(name, outbox)
            if close is not None:
                return close
        return DONE

    def _named(self, name: str | None) -> dict[str, Any]:
        return {"contextId": name} if self._multi else {}

    def _note(self, name: str | None, **changes: Any) -> None:
        self._house.journal.change(self._lines[name], **changes)


def idle_limit_s(asked: str | None) -> float:
    """Return how long a socket may be sent nothing. The vendor's help page says 20 s, at most 180; read 2026-11-25."""
    try:
        return min(max(SHORTEST_IDLE_S, float(asked or IDLE_S)), LONGEST_IDLE_S)
    except ValueError:
        return IDLE_S


async def _fail(outbox: WsSender, error: str, text: str) -> Close:
    await outbox.put({"message": text, "error": error, "code": REFUSED_CODE})
    return REFUSED_CODE, error
