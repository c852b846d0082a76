"""Hears one live Deepgram socket, from its first sound to its close. Knows no other request."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any, Final

from aiohttp import WSMessage, WSMsgType, web

from cluster.lab.emulator.core.admission import first_byte_s
from cluster.lab.emulator.core.request import EmulatedRequest, EmulatorState
from cluster.lab.emulator.speech.deepgram_format import PcmFormat, live_manner, message, metadata, raw_format, read_wav
from cluster.lab.emulator.speech.recognizer import Event, PhraseScript, RecognizedSpeech, StreamRecognizer
from cluster.lab.emulator.speech.ws_sender import WsSender, sending

CLOSE_TIMEOUT_S: Final = 2.0
MAX_MESSAGE_BYTES: Final = 1024 * 1024

Close = tuple[int, str]
DONE: Final[Close] = (1000, "")
LEFT: Final[Close] = (1000, "")
SILENT: Final[Close] = (1011, "NET-0001")
UNDECODABLE: Final[Close] = (1008, "DATA-0000")


class LiveTranscription:
    """One live socket: what comes in is heard, what is heard goes out when the model would have it ready."""

    def __init__(
        self, house: EmulatorState, script: PhraseScript, request: web.Request, exchange: EmulatedRequest
    ) -> None:
        self._house, self._script, self._request, self._exchange = house, script, request, exchange
        self._query = request.query
        self._id = str(uuid.uuid4())
        self._digest = hashlib.sha256()
        self._channels = 1
        named = raw_format(self._query)
        self._ear = None if named is None else self._ear_for(named)
        self.socket = web.WebSocketResponse(timeout=CLOSE_TIMEOUT_S, max_msg_size=MAX_MESSAGE_BYTES)
        self.socket.headers["dg-request-id"] = self._id

    async def run(self, idle_s: float) -> Close:
        """Listen until the client is done, silent or gone; return how the socket is to be closed."""
        await self.socket.prepare(self._request)
        self._exchange.answered(101)
        async with sending(self._house, self._request, self.socket, self._exchange.fault) as outbox:
            while True:
                try:
                    got = await self.socket.receive(timeout=idle_s)
                except TimeoutError:
                    return SILENT
                close = await self._take(got, outbox)
                if close is not None:
                    return close

    async def _take(self, got: WSMessage, outbox: WsSender) -> Close | None:
        if got.type is WSMsgType.BINARY:
            return await self._hear(got.data, outbox)
        if got.type is WSMsgType.TEXT:
            return await self._obey(got.data, outbox)
        return LEFT

    async def _hear(self, sound: bytes, outbox: WsSender) -> Close | None:
        self._digest.update(sound)
        if self._ear is None:
            # Without an encoding in the query the sound names its own.
            pcm = read_wav(sound)
            if pcm is None:
                return UNDECODABLE
            self._ear, sound = self._ear_for(pcm), pcm.data
        events = await self._house.senses.listening(self._ear.hear, sound)
        # Counted before it is told: whoever has read a transcript finds its sound in the journal.
        self._exchange.note(audio_ms=self._ear.audio_ms)
        await self._tell(events, outbox)
        return None

    async def _obey(self, text: str, outbox: WsSender) -> Close | None:
        match _type(text):
            case "KeepAlive":
                pass
            case "Finalize":
                await self._tell(await self._rest(from_finalize=True), outbox)
            case "CloseStream":
                await self._tell(await self._rest(), outbox)
                if not self._exchange.fault.untold_usage:
                    await outbox.put(self._metadata())
                return DONE
            case "Configure":
                await outbox.put({"type": "ConfigureSuccess", "request_id": self._id})
            case _:
                await outbox.put(
                    {"type": "Error", "variant": "SchemaError", "description": "Could not parse a text message."}
                )
        return None

    async def _rest(self, from_finalize: bool = False) -> list[Event]:
        """Return what is to be told of the sound so far."""
        if self._ear is None:
            return []
        return await self._house.senses.listening(self._ear.flush, from_finalize)

    async def _tell(self, events: list[Event], outbox: WsSender) -> None:
        for event in events:
            transcript = isinstance(event, RecognizedSpeech)
            delay_s = first_byte_s(self._house, self._exchange.asked) if transcript else 0.0
            await outbox.put(message(event, self._query, self._id), delay_s, chunk=transcript)

    def _ear_for(self, pcm: PcmFormat) -> StreamRecognizer:
        self._channels = pcm.channels
        manner, transcriber = live_manner(self._query), self._house.senses.transcriber
        return StreamRecognizer(pcm.sample_rate_hz, manner, self._script.next, pcm.channels, transcriber)

    def _metadata(self) -> dict[str, Any]:
        audio_ms = self._ear.audio_ms if self._ear else 0
        return {"type": "Metadata"} | metadata(
            self._id, self._digest.hexdigest(), audio_ms, self._channels, self._query.get("model", "")
        )


def _type(text: str) -> str | None:
    try:
        return str(json.loads(text)["type"])
    except (ValueError, TypeError, KeyError):
        return None
