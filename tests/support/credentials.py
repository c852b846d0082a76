"""Room tokens and request headers for a gateway in this process."""

from __future__ import annotations

import time
from collections.abc import Callable

from deployments.api.access.room_tokens import issue_token, sign
from routing.rooms import parse_room
from tests.support.gateway import KEYS

FRAME_HEADERS = {"content-type": "image/jpeg", "x-frame-captured-at": "1700000000.5", "x-frame-track": "TR_1"}
Bearer = Callable[..., dict[str, str]]


def room_token(room: str = "tenant_acme_standup", ttl_s: float = 900) -> str:
    return sign(issue_token(parse_room(room), "job-1", ttl_s, time.time()), KEYS)
