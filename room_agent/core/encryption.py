"""Recognizes publications that are end-to-end encrypted, which the agent has no key for."""

from __future__ import annotations

import structlog
from cachetools import FIFOCache
from livekit import rtc

MAX_LOGGED = 256
"""The publications of a room that are remembered: a participant can publish again without end."""

log = structlog.get_logger()


class EncryptedTracks:
    """The encrypted publications of one room; each is logged once. Without the key they decode to noise."""

    def __init__(self) -> None:
        self._logged: FIFOCache[str, bool] = FIFOCache(MAX_LOGGED)
        self._refused = 0

    def __len__(self) -> int:
        return self._refused

    def has(self, publication: rtc.RemoteTrackPublication) -> bool:
        """Return whether a publication is encrypted."""
        if publication.encryption_type == rtc.EncryptionType.NONE:
            return False
        if publication.sid not in self._logged:
            self._logged[publication.sid] = True
            self._refused += 1
            log.warning(
                "track refused",
                track=publication.sid,
                reason="the room is end-to-end encrypted and the agent has no key",
            )
        return True
