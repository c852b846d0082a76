"""The heartbeat that a worker sends to `rayroom dispatch`: its running jobs, and whether it drains."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from typing import Annotated

from livekit import api
from pydantic import BaseModel, ConfigDict, Field

EVERY_S = 1.0
PATH = "/v1/workers/heartbeat"
MAX_JOBS = 1_000
TOKEN_TTL = dt.timedelta(minutes=1)

Identity = Annotated[str, Field(min_length=1, max_length=256)]


class WorkerJob(BaseModel):
    """A job whose process runs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    room: Identity
    identity: Identity


class WorkerHeartbeat(BaseModel):
    """The state of one worker. `number` grows with each heartbeat, so that a replayed one is recognised."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    worker: Annotated[str, Field(min_length=8, max_length=64)]
    number: Annotated[int, Field(ge=0)]
    draining: bool = False
    stopped: bool = False
    """The worker ends now, and sends no further heartbeat."""
    jobs: Annotated[tuple[WorkerJob, ...], Field(max_length=MAX_JOBS)] = ()


def body_hash(body: bytes) -> str:
    """Return the hash of a body in the form that LiveKit's webhooks use."""
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def signed_token(key: str, secret: str, body: bytes) -> str:
    """Return a token that signs a body with LiveKit's API key, as LiveKit signs its webhooks."""
    return api.AccessToken(key, secret).with_sha256(body_hash(body)).with_ttl(TOKEN_TTL).to_jwt()
