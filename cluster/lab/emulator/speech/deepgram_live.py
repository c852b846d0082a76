"""Transcribe one live Deepgram socket, from its first audio to its close."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any, Final

from aiohttp import WSMessage, WSMsgType, web

from cluster.lab.emulator.core.admission import first_byte_s
from cluster.lab.emulator.core.request import EmulatedRequest, EmulatorState
from cluster.lab.emulator.speech.deepgram_format import PcmFormat, live_options, message, metadata, raw_format, read_wav
from cluster.lab.emulator.speech.recognizer import Event, PhraseScript, RecognizedSpeech, StreamRecognizer
from cluster.lab.emulator.speech.ws_sender import DISCONNECTED, DONE, Close, WsSender, sending, speech_socket

SILENT: Final[Close] = (1011, "NET-0001")
UNDECODABLE: Final[Close] = (1008, "DATA-0000")


class LiveTranscription:
    """One live socket: recognizes incoming audio, and sends each result after the model's latency."""

    def __init__(
        self, state: EmulatorState, script: PhraseScript, request: web.Request, exchange: EmulatedRequest
    ) -> None:
        self._state, self._script, self._request, self._exchange = state, script, request, exchange
        self._query = request.query
        self._id = str(uuid.uuid4())
        self._digest = hashlib.sha256()
        self._channels = 1
        query_format = raw_format(self._query)
        self._recognizer = None if query_format is None else self._recognizer_for(query_format)
        self.socket = speech_socket()
        self.socket.headers["dg-request-id"] = self._id

    async def run(self, idle_s: float) -> Close:
        """Process audio until the client finishes, is idle or disconnects; return the close code and reason."""
        await self.socket.prepare(self._request)
        self._exchange.answered(101)
        async with sending(self._state, self._request, self.socket, self._exchange.fault) as sender:
            while True:
                try:
                    received = await self.socket.receive(timeout=idle_s)
                except TimeoutError:
                    return SILENT
                close = await self._handle(received, sender)
                if close is not None:
                    return close

    async def _handle(self, received: WSMessage, sender: WsSender) -> Close | None:
        if received.type is WSMsgType.BINARY:
            return await self._feed(received.data, sender)
        if received.type is WSMsgType.TEXT:
            return await self._handle_control(received.data, sender)
        return DISCONNECTED

    async def _feed(self, sound: bytes, sender: WsSender) -> Close | None:
        self._digest.update(sound)
        if self._recognizer is None:
            # Without an encoding in the query, the audio has a header.
            pcm = read_wav(sound)
            if pcm is None:
                return UNDECODABLE
            self._recognizer, sound = self._recognizer_for(pcm), pcm.data
        events = await self._state.engines.run_transcriber(self._recognizer.feed, sound)
        # Logged before the result is sent, so that a client with a transcript finds its audio in the log.
        self._exchange.note(audio_ms=self._recognizer.audio_ms)
        await self._emit(events, sender)
        return None

    async def _handle_control(self, text: str, sender: WsSender) -> Close | None:
        match _type(text):
            case "KeepAlive":
                pass
            case "Finalize":
                await self._emit(await self._flushed_events(from_finalize=True), sender)
            case "CloseStream":
                await self._emit(await self._flushed_events(), sender)
                if not self._exchange.fault.unreported_usage:
                    await sender.put(self._metadata())
                return DONE
            case "Configure":
                await sender.put({"type": "ConfigureSuccess", "request_id": self._id})
            case _:
                await sender.put(
                    {"type": "Error", "variant": "SchemaError", "description": "Could not parse a text message."}
                )
        return None

    async def _flushed_events(self, from_finalize: bool = False) -> list[Event]:
        """Return the events of the audio so far."""
        if self._recognizer is None:
            return []
        return await self._state.engines.run_transcriber(self._recognizer.flush, from_finalize)

    async def _emit(self, events: list[Event], sender: WsSender) -> None:
        for event in events:
            transcript = isinstance(event, RecognizedSpeech)
            delay_s = first_byte_s(self._state, self._exchange.request) if transcript else 0.0
            await sender.put(message(event, self._query, self._id), delay_s, chunk=transcript)

    def _recognizer_for(self, pcm: PcmFormat) -> StreamRecognizer:
        self._channels = pcm.channels
        options, transcriber = live_options(self._query), self._state.engines.transcriber
        return StreamRecognizer(pcm.sample_rate_hz, options, self._script.next, pcm.channels, transcriber)

    def _metadata(self) -> dict[str, Any]:
        audio_ms = self._recognizer.audio_ms if self._recognizer else 0
        return {"type": "Metadata"} | metadata(
            self._id, self._digest.hexdigest(), audio_ms, self._channels, self._query.get("model", "")
        )


def _type(text: str) -> str | None:
    try:
        return str(json.loads(text)["type"])
    except (ValueError, TypeError, KeyError):
        return None
