"""Parse the environment variables of `rayroom dispatch`. A missing or wrong one fails at start with its name."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from routing.errors import ConfigurationError
from routing.validation import errors_of


class DispatchSettings(BaseSettings):
    """The environment variables of `rayroom dispatch`."""

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True, env_ignore_empty=True)

    livekit_url: Annotated[str, Field(validation_alias="LIVEKIT_URL", pattern=r"^(wss?|https?)://\S+$")]
    livekit_api_key: Annotated[str, Field(validation_alias="LIVEKIT_API_KEY", min_length=1)]
    livekit_api_secret: Annotated[str, Field(validation_alias="LIVEKIT_API_SECRET", min_length=1, repr=False)]
    agent_name: Annotated[str, Field(validation_alias="RAYROOM_AGENT_NAME", min_length=1)] = "rayroom"
    host: Annotated[str, Field(validation_alias="RAYROOM_DISPATCH_HOST", min_length=1)] = "127.0.0.1"
    """The address for webhooks, heartbeats, metrics and health; in a container 0.0.0.0."""
    port: Annotated[int, Field(validation_alias="RAYROOM_DISPATCH_PORT", ge=0, le=65_535)] = 8010
    dispatch_secrets: Annotated[
        str, Field(validation_alias="RAYROOM_DISPATCH_SECRET", pattern=r"^(\S{32,})?$", repr=False)
    ] = ""
    """The first of these secrets, separated by commas, signs the metadata of each dispatch."""

    @property
    def dispatch_secret(self) -> str:
        return self.dispatch_secrets.split(",")[0].strip()


def load_dispatch_settings() -> DispatchSettings:
    """Return the settings of this process. Raises ConfigurationError that names each missing or wrong variable."""
    try:
        return DispatchSettings()
    except ValidationError as error:
        wrong = list(errors_of(error))
        lines = "\n".join(f"{one.where}: {one.message}" for one in wrong)
        raise ConfigurationError(lines, wrong[0].where) from None
