"""The heartbeat that a worker sends to `rayroom dispatch` over a WebSocket: its running jobs, and whether it drains."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from livekit import api
from pydantic import BaseModel, ConfigDict, Field

EVERY_S = 1.0
PATH = "/v1/workers"
MAX_JOBS = 1_000
MAX_ENDED = 1_000
ENDED_FOR_S = 60.0
"""An ended job is reported for so long: the SFU lists its agent for up to 21 s, and `rayroom dispatch` may restart."""
TOKEN_TTL = dt.timedelta(minutes=1)

Identity = Annotated[str, Field(min_length=1, max_length=256)]


class WorkerJob(BaseModel):
    """A job whose process runs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    room: Identity
    identity: Identity


class WorkerHeartbeat(BaseModel):
    """The state of one worker."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    worker: Annotated[str, Field(min_length=8, max_length=64)]
    draining: bool = False
    stopped: bool = False
    """The worker ends now, and sends no further heartbeat."""
    jobs: Annotated[tuple[WorkerJob, ...], Field(max_length=MAX_JOBS)] = ()
    ended: Annotated[tuple[WorkerJob, ...], Field(max_length=MAX_ENDED)] = ()
    """The jobs that ended lately, for a `rayroom dispatch` that was not running when they did."""


def worker_token(key: str, secret: str) -> str:
    """Return the token of a worker's connection; it has the grant with which workers register at the SFU."""
    return api.AccessToken(key, secret).with_grants(api.VideoGrants(agent=True)).with_ttl(TOKEN_TTL).to_jwt()
