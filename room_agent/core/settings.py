"""Parses the environment variables of the room agent. A missing or wrong one fails at start with its name."""

from __future__ import annotations

import datetime as dt
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import structlog
from pydantic import AliasChoices, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from routing.errors import ConfigurationError
from routing.models import TenantAgent
from routing.prices import load_prices
from routing.telemetry.trace_export import trace_share
from routing.validation import errors_of
from routing.vendor_keys import read_key

log = structlog.get_logger()

TRACK_SETTINGS_URL = "RAYROOM_TRACK_SETTINGS_URL"
MULTI = "multi"
"""Deepgram's language for speakers of several languages."""
LISTED = r"[^,\s]"
"""The pattern of a list with at least one item: a character other than a comma or a blank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechSettings:
    """The settings of speech and chat. Models are tried in their order. Without `voice` the agent only writes."""

    voice: bool
    deepgram_key: str = field(repr=False)
    deepgram_url: str
    eleven_key: str = field(repr=False)
    eleven_url: str
    voice_id: str
    stt_models: tuple[str, ...]
    tts_models: tuple[str, ...]
    language: str
    """Deepgram's code, or `multi` for the language that each speaker chooses."""
    names: tuple[str, ...]
    max_microphones: int
    pause_s: float
    voices: Mapping[str, str] = field(default_factory=dict)
    """The voices of single languages, by the code of the language."""
    end_of_turn: Literal["pause", "model"] = "pause"
    keyterms: bool = False
    """Whether Deepgram listens for the names in particular, which costs extra."""

    def of_tenant(self, agent: TenantAgent) -> SpeechSettings:
        """Return the settings as a tenant's agent changes them; a language without a price stays the worker's."""
        language = agent.language or self.language
        if not _has_prices(self.stt_models, language, self.keyterms):
            log.warning("language of the tenant's agent ignored", language=language)
            language = self.language
        return replace(
            self,
            names=agent.names or self.names,
            voice_id=agent.voice_id or self.voice_id,
            voices=agent.voices,
            language=language,
        )

    @property
    def detects_language(self) -> bool:
        """Return whether STT finds out the language of each utterance."""
        return self.language == MULTI

    @property
    def spoken_language(self) -> str:
        """Return the code of the room's language; empty where each speaker chooses one."""
        return "" if self.detects_language else self.language


class AgentSettings(BaseSettings):
    """The environment variables of `python -m room_agent`."""

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True, env_ignore_empty=True)

    livekit_url: Annotated[str, Field(validation_alias="LIVEKIT_URL", pattern=r"^wss?://\S+$")]
    livekit_api_key: Annotated[str, Field(validation_alias="LIVEKIT_API_KEY", min_length=1)]
    livekit_api_secret: Annotated[str, Field(validation_alias="LIVEKIT_API_SECRET", min_length=1, repr=False)]
    router_url: Annotated[str, Field(validation_alias="RAYROOM_URL", pattern=r"^https?://\S+$")] = (
        "http://127.0.0.1:8000"
    )
    agent_keys: Annotated[str, Field(validation_alias="RAYROOM_AGENT_KEYS", min_length=16, repr=False)]
    agent_name: Annotated[str, Field(validation_alias="RAYROOM_AGENT_NAME", min_length=1)] = "rayroom"
    max_rooms: Annotated[int | None, Field(validation_alias="RAYROOM_MAX_ROOMS", ge=1, le=1_000)] = None
    """The most rooms of this worker. By default it accepts rooms as long as its host has headroom."""
    max_tracks: Annotated[int, Field(validation_alias="RAYROOM_MAX_TRACKS", ge=1, le=16)] = 4
    room_isolation: Annotated[
        Literal["auto", "process", "thread"], Field(validation_alias="RAYROOM_ROOM_ISOLATION")
    ] = "auto"
    """Whether a room has a process of its own or is a thread of the worker's. `auto`: see `rooms_share_a_process`."""
    signal_relay: Annotated[Literal["on", "off"], Field(validation_alias="RAYROOM_SIGNAL_RELAY")] = "on"
    """Whether the worker connects through a relay of its own, which asks the SFU for fewer frames of moving screens.

    It asks only where the publisher was seen to repeat the picture of a screen at rest. Never used with LiveKit Cloud.
    """
    track_settings_url: Annotated[str | None, Field(validation_alias=TRACK_SETTINGS_URL, repr=False)] = None
    """Set by the worker for its jobs, and by nobody else."""
    record_dir: Annotated[Path | None, Field(validation_alias="RAYROOM_RECORD_DIR")] = None
    """The directory into which kept frames and their costs are written for inspection. Off by default."""
    usage_dir: Annotated[Path, Field(validation_alias="RAYROOM_USAGE_DIR")] = Path(".rayroom/agent")
    """The directory of the usage journals. Speech usage is journaled before it is sent, so a killed job is billed too.

    It should be on a disk that outlives the process: the next worker that starts there bills the usage left in it, and
    sends the records of meetings that wait below it, where a tenant wants records.
    """
    dispatch_url: Annotated[str, Field(validation_alias="RAYROOM_DISPATCH_URL", pattern=r"^(https?://\S+)?$")] = ""
    """The address of `rayroom dispatch`, if it runs: with the worker's heartbeats it replaces a dead agent at once."""
    drain_s: Annotated[float, Field(validation_alias="RAYROOM_DRAIN_S", ge=0, le=86_400)] = 15.0
    """The time after SIGTERM in which running rooms are handed over or end; then their jobs are ended.

    With `CLOSE_TIMEOUT_S` it fits into the 30 s that Kubernetes gives a pod.
    """
    http_host: Annotated[str, Field(validation_alias="RAYROOM_AGENT_HTTP_HOST", min_length=1)] = "127.0.0.1"
    """The address of the worker's health page, `/`; in a container 0.0.0.0."""
    http_port: Annotated[int, Field(validation_alias="RAYROOM_AGENT_HTTP_PORT", ge=0, le=65_535)] = 0
    """The port of the health page; 0 for any free one."""

    voice: Annotated[Literal["on", "off"], Field(validation_alias="RAYROOM_VOICE")] = "off"
    """With `off` the agent neither listens nor speaks; it still answers chat messages."""
    deepgram_key: Annotated[str, Field(validation_alias="DEEPGRAM_API_KEY", repr=False)] = ""
    deepgram_url: Annotated[str, Field(validation_alias="DEEPGRAM_BASE_URL", pattern=r"^https?://\S+$")] = (
        "https://api.deepgram.com"
    )
    eleven_key: Annotated[
        str, Field(validation_alias=AliasChoices("ELEVEN_API_KEY", "ELEVENLABS_API_KEY"), repr=False)
    ] = ""
    eleven_url: Annotated[
        str, Field(validation_alias=AliasChoices("ELEVEN_BASE_URL", "ELEVENLABS_BASE_URL"), pattern=r"^https?://\S+$")
    ] = "https://api.elevenlabs.io"
    voice_id: Annotated[str, Field(validation_alias="RAYROOM_VOICE_ID", min_length=1)] = "hpp4J3VqNfWAUOO0d1Us"
    stt_models: Annotated[str, Field(validation_alias="RAYROOM_STT_MODELS", pattern=LISTED)] = "nova-3"
    """Separated by commas, in the order of use. Each needs a row in routing/prices.toml; so do the TTS models.

    With the language `multi` the row is that of the model's name with `-multi`; with key terms `-keyterm` follows.
    """
    keyterms: Annotated[Literal["on", "off"], Field(validation_alias="RAYROOM_KEYTERMS")] = "on"
    """Whether Deepgram gets the agent's names as key terms of nova-3, for 0.0013 USD a minute more."""
    tts_models: Annotated[str, Field(validation_alias="RAYROOM_TTS_MODELS", pattern=LISTED)] = (
        "eleven_flash_v2_5,eleven_turbo_v2_5"
    )
    language: Annotated[str, Field(validation_alias="RAYROOM_LANGUAGE", min_length=2)] = "en-US"
    names: Annotated[str, Field(validation_alias="RAYROOM_NAMES", min_length=1)] = "Rayroom,ray room"
    """The names by which people call the agent, separated by commas. The first is its display name."""
    max_microphones: Annotated[int, Field(validation_alias="RAYROOM_MAX_MICROPHONES", ge=1, le=64)] = 16
    pause_s: Annotated[float, Field(validation_alias="RAYROOM_PAUSE_S", ge=0.1, le=3)] = 0.3
    """The silence that ends an utterance."""
    end_of_turn: Annotated[Literal["pause", "model"], Field(validation_alias="RAYROOM_END_OF_TURN")] = "pause"
    """With `model` LiveKit's turn detector judges by the sound whether the speaker goes on, and waits for up to 1.2 s.

    It runs in the worker, without a cloud. It is off by default: it takes 244 MB a worker and 70 ms of a processor for
    each pause, and nothing measured here shows that it ends turns better. Pauses of 1.2 s and more stay as they are.
    """

    @property
    def rooms_share_a_process(self) -> bool:
        """Where nothing else is set, rooms share a process if none has a voice and a crash costs them no agent.

        An idle room then takes 1 MB instead of 28, and a watched one 39 instead of 83 (`make bench-agents`). A crash
        ends all of them, and only `rayroom dispatch` brings them back.
        """
        if self.room_isolation == "auto":
            return self.voice == "off" and bool(self.dispatch_url)
        return self.room_isolation == "thread"

    @property
    def uses_signal_relay(self) -> bool:
        """Not at LiveKit Cloud: there the SDK itself chooses a region from the URL, and another one when that fails."""
        host = urlsplit(self.livekit_url).hostname or ""
        return self.signal_relay == "on" and not host.endswith(".livekit.cloud")

    @property
    def agent_key(self) -> str:
        # Behind the last `@` stand the tenants that the router limits a key to.
        return re.sub(r"@[A-Za-z0-9.+-]+$", "", self.agent_keys.split(",")[0].strip())

    @property
    def speech(self) -> SpeechSettings:
        return SpeechSettings(
            voice=self.voice == "on",
            deepgram_key=self.deepgram_key,
            deepgram_url=self.deepgram_url.rstrip("/"),
            eleven_key=self.eleven_key,
            eleven_url=self.eleven_url.rstrip("/"),
            voice_id=self.voice_id,
            stt_models=listed(self.stt_models),
            tts_models=listed(self.tts_models),
            language=self.language,
            names=listed(self.names),
            keyterms=self.keyterms == "on",
            max_microphones=self.max_microphones,
            pause_s=self.pause_s,
            end_of_turn=self.end_of_turn,
        )


def variables(field_name: str) -> tuple[str, ...]:
    """Return the environment variables that may hold a field, in the order of lookup."""
    alias = AgentSettings.model_fields[field_name].validation_alias
    return tuple(map(str, alias.choices)) if isinstance(alias, AliasChoices) else (str(alias),)


def listed(text: str) -> tuple[str, ...]:
    """Return the items of a comma-separated list, without empty ones."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def load_settings() -> AgentSettings:
    """Return the settings of this process. Raises ConfigurationError that names each missing or wrong variable."""
    trace_share(os.environ)
    try:
        settings = AgentSettings()
    except ValidationError as error:
        wrong = list(errors_of(error))
        hint = "To use the keys that a cluster generated: set -a; . .rayroom/keys.env; set +a"
        lines = [f"{one.where}: {one.message}" for one in wrong]
        raise ConfigurationError("\n".join([*lines, hint]), wrong[0].where) from None
    if settings.speech.voice:
        settings = settings.model_copy(update={name: _key(name) for name in ("deepgram_key", "eleven_key")})
        if settings.room_isolation == "thread":
            message = "RAYROOM_ROOM_ISOLATION: a worker with RAYROOM_VOICE=on needs a process for each room."
            raise ConfigurationError(message, "RAYROOM_ROOM_ISOLATION")
        _check_voice(settings.speech)
        _check_directory(settings.usage_dir)
    return settings


def _has_prices(stt_models: tuple[str, ...], language: str, keyterms: bool) -> bool:
    prices = load_prices()
    try:
        for model in stt_models:
            prices.of(stt_price_name(model, language, keyterms), dt.datetime.now(dt.UTC).date())
    except ConfigurationError:
        return False
    return True


def _check_voice(speech: SpeechSettings) -> None:
    """Raise ConfigurationError for a model without a price: the router rejects usage that it cannot bill."""
    prices, today = load_prices(), dt.datetime.now(dt.UTC).date()
    stt_models = (stt_price_name(model, speech.language, speech.keyterms) for model in speech.stt_models)
    for model in (*stt_models, *speech.tts_models):
        prices.of(model, today)


def stt_price_name(model: str, language: str, keyterms: bool) -> str:
    """Return the name of a model's row: Deepgram prices the language `multi` and key terms apart."""
    return f"{model}{'-multi' * (language == MULTI)}{'-keyterm' * (keyterms and takes_keyterms(model))}"


def takes_keyterms(model: str) -> bool:
    """Return whether a model of Deepgram's takes key terms; the others refuse them."""
    return model.startswith("nova-3")


def _key(field_name: str) -> str:
    names = variables(field_name)
    key = read_key(os.environ, *names)
    if not key:
        raise ConfigurationError(f"{names[0]}: required by RAYROOM_VOICE=on.", names[0])
    return key


def _check_directory(directory: Path) -> None:
    name = "RAYROOM_USAGE_DIR"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise ConfigurationError(f"{name}: {directory} cannot be written to: {error.strerror}.", name) from None
