"""Asks the SFU for fewer frames of a subscribed video track, through the worker's signal relay."""

from __future__ import annotations

import asyncio

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

TIMEOUT_S = 2.0


class TrackSettings(BaseModel):
    """The frames wanted of one track: at least `fps` a second. `key_frame` asks for one at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    track_sid: str = Field(min_length=1, max_length=256)
    fps: int = Field(ge=1, le=120)
    key_frame: bool = False


class TrackSettingsClient:
    """The way to the relay of this process's worker; without a `url` every track keeps all its frames."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    @property
    def is_available(self) -> bool:
        """Whether there is a relay."""
        return self._url is not None

    async def set(self, settings: TrackSettings) -> bool:
        """Ask for the frames; return whether the request left. It is not known whether the SFU can send fewer."""
        if self._url is None:
            return False
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._session.post(self._url, data=settings.model_dump_json()) as response,
            ):
                return response.status == 204
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
