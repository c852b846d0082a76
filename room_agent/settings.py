"""What a room agent is told by its environment, typed; a missing one fails at start by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from routing.errors import ConfigurationError


class AgentSettings(BaseSettings):
    """The environment of `python -m room_agent`."""

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True)

    livekit_url: Annotated[str, Field(validation_alias="LIVEKIT_URL", pattern=r"^wss?://\S+$")]
    livekit_api_key: Annotated[str, Field(validation_alias="LIVEKIT_API_KEY", min_length=1)]
    livekit_api_secret: Annotated[str, Field(validation_alias="LIVEKIT_API_SECRET", min_length=1, repr=False)]
    router_url: Annotated[str, Field(validation_alias="RAYROOM_URL", pattern=r"^https?://\S+$")] = (
        "http://127.0.0.1:8000"
    )
    agent_keys: Annotated[str, Field(validation_alias="RAYROOM_AGENT_KEYS", min_length=16, repr=False)]
    agent_name: Annotated[str, Field(validation_alias="RAYROOM_AGENT_NAME", min_length=1)] = "rayroom"
    max_rooms: Annotated[int, Field(validation_alias="RAYROOM_MAX_ROOMS", ge=1, le=1_000)] = 16
    max_tracks: Annotated[int, Field(validation_alias="RAYROOM_MAX_TRACKS", ge=1, le=16)] = 4
    record_dir: Annotated[Path | None, Field(validation_alias="RAYROOM_RECORD_DIR")] = None
    """Where kept frames and what they cost are written, for a look at what the agent sends. Off by default."""
    drain_s: Annotated[float, Field(validation_alias="RAYROOM_DRAIN_S", ge=0, le=86_400)] = 30.0
    """How long running meetings may go on after SIGTERM before their jobs are ended too."""
    http_port: Annotated[int, Field(validation_alias="RAYROOM_AGENT_HTTP_PORT", ge=0, le=65_535)] = 0

    @property
    def agent_key(self) -> str:
        return self.agent_keys.split(",")[0].strip()


def load_settings() -> AgentSettings:
    """Return the settings of this process; raises ConfigurationError naming each variable that is missing or wrong."""
    try:
        return AgentSettings()
    except ValidationError as error:
        wrong = [f"{one['loc'][0]}: {one['msg']}" for one in error.errors(include_input=False, include_url=False)]
        hint = "The keys of a cluster that made its own: set -a; . .rayroom/keys.env; set +a"
        raise ConfigurationError("\n".join([*wrong, hint]), str(error.errors()[0]["loc"][0])) from None
