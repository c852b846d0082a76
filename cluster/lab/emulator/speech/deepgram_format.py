"""Parse a Deepgram query, and format results as Deepgram's messages."""

from __future__ import annotations

import hashlib
import io
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from cluster.lab.emulator.speech.languages import language_of
from cluster.lab.emulator.speech.recognizer import (
    Event,
    RecognitionOptions,
    RecognizedSpeech,
    RecognizedWord,
    SpeechStarted,
)
from routing.errors import BadInput

MODEL_ID: Final = "00000000-0000-4000-8000-000000000003"
CONFIDENCE: Final = 0.98
ENDPOINTING_MS: Final = 10
"""Deepgram's documented default; read 2026-11-25."""
UTTERANCE_SPLIT_MS: Final = 800
"""The pause that separates the phrases of recorded speech: Deepgram's default `utt_split`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PcmFormat:
    """16-bit PCM audio and its format."""

    data: bytes = field(default=b"", repr=False)
    sample_rate_hz: int
    channels: int


def raw_format(query: Mapping[str, str]) -> PcmFormat | None:
    """Return the audio format of a query, or None if the audio's own header has it. Raises BadInput."""
    if "encoding" not in query:
        return None
    if query["encoding"] != "linear16":
        raise BadInput("The emulator decodes linear16 and WAV only.", "encoding")
    return PcmFormat(sample_rate_hz=_count(query, "sample_rate", 16_000), channels=_count(query, "channels", 1))


def read_wav(data: bytes) -> PcmFormat | None:
    """Return the audio of a WAV file, which may be cut off, or None if it is not 16-bit PCM."""
    try:
        with wave.open(io.BytesIO(data)) as file:
            if file.getsampwidth() != 2 or not file.getframerate():
                return None
            sound = file.readframes(file.getnframes())
            return PcmFormat(data=sound, sample_rate_hz=file.getframerate(), channels=file.getnchannels())
    except (wave.Error, EOFError):
        return None


def live_options(query: Mapping[str, str]) -> RecognitionOptions:
    """Parse the options of a live query. Raises BadInput."""
    if "keyterm" in query and not query.get("model", "").startswith("nova-3"):
        raise BadInput("Keyterm Prompting is only available for Nova-3.", "keyterm")
    return RecognitionOptions(
        endpointing_ms=_endpointing_ms(query),
        utterance_end_ms=_count(query, "utterance_end_ms", 1_000) if "utterance_end_ms" in query else None,
        interim=query.get("interim_results") == "true",
        starts=query.get("vad_events") == "true",
    )


def alternative(words: Sequence[RecognizedWord], query: Mapping[str, str]) -> dict[str, Any]:
    """Return the transcript, with punctuated words if the query requests them."""
    formatted = "true" in (query.get("punctuate"), query.get("smart_format"))
    rows = [_word(word, formatted) for word in words]
    detected = {}
    if query.get("language") == "multi" and rows:
        # Deepgram may leave both fields out where several languages are spoken: multilingual page, read 2026-11-30.
        language = language_of(row["word"] for row in rows)
        detected, rows = {"languages": [language]}, [row | {"language": language} for row in rows]
    return detected | {
        "transcript": " ".join(row["punctuated_word" if formatted else "word"] for row in rows),
        "confidence": CONFIDENCE if rows else 0.0,
        "words": rows,
    }


def message(event: Event, query: Mapping[str, str], request_id: str) -> dict[str, Any]:
    """Return the message of a live socket for an event."""
    if isinstance(event, SpeechStarted):
        return {"type": "SpeechStarted", "channel": [0], "timestamp": event.at_ms / 1_000}
    if isinstance(event, RecognizedSpeech):
        return _results(event, query, request_id)
    return {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": event.last_word_end_ms / 1_000}


def metadata(request_id: str, digest: str, audio_ms: int, channels: int, model: str) -> dict[str, Any]:
    """Return the final metadata, with the billed audio duration."""
    return {
        "transaction_key": "deprecated",
        "request_id": request_id,
        "sha256": digest,
        "created": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "duration": audio_ms / 1_000,
        "channels": channels,
        "models": [MODEL_ID],
        "model_info": {MODEL_ID: _model_info(model)},
    }


def recorded(
    words: Sequence[RecognizedWord], query: Mapping[str, str], request_id: str, sound: bytes, audio_ms: int
) -> dict[str, Any]:
    """Return the response to recorded speech; its channels are mixed into one."""
    digest = hashlib.sha256(sound).hexdigest()
    return {
        "metadata": metadata(request_id, digest, audio_ms, 1, query.get("model", "")),
        "results": {"channels": [{"alternatives": [alternative(words, query)]}]},
    }


def _results(result: RecognizedSpeech, query: Mapping[str, str], request_id: str) -> dict[str, Any]:
    return {
        "type": "Results",
        "channel_index": [0, 1],
        "start": result.start_ms / 1_000,
        "duration": (result.end_ms - result.start_ms) / 1_000,
        "is_final": result.final,
        "speech_final": result.speech_final,
        "from_finalize": result.from_finalize,
        "channel": {"alternatives": [alternative(result.words, query)]},
        "metadata": {
            "request_id": request_id,
            "model_info": _model_info(query.get("model", "")),
            "model_uuid": MODEL_ID,
        },
    }


def _word(word: RecognizedWord, formatted: bool) -> dict[str, Any]:
    plain_word = "".join(letter for letter in word.text.lower() if letter.isalnum() or letter in "'-") or word.text
    row = {"word": plain_word, "start": word.start_ms / 1_000, "end": word.end_ms / 1_000, "confidence": CONFIDENCE}
    return row | {"punctuated_word": word.text} if formatted else row


def _model_info(model: str) -> dict[str, str]:
    return {"name": model, "version": "emulated", "arch": model}


def _endpointing_ms(query: Mapping[str, str]) -> int | None:
    requested = query.get("endpointing", "true")
    if requested == "false":
        return None
    return ENDPOINTING_MS if requested == "true" else _count(query, "endpointing", ENDPOINTING_MS)


def _count(query: Mapping[str, str], name: str, default: int) -> int:
    try:
        value = int(query.get(name, default))
    except ValueError:
        value = 0
    if not 1 <= value <= 192_000:
        raise BadInput(f"{name} must be a whole number from 1 to 192000.", name)
    return value
