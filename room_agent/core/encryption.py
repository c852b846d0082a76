"""Recognizes publications that are end-to-end encrypted, which the agent has no key for."""

from __future__ import annotations

import structlog
from livekit import rtc

log = structlog.get_logger()


class EncryptedTracks:
    """The encrypted publications of one room; each is logged once. Without the key they decode to noise."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def __len__(self) -> int:
        return len(self._logged)

    def has(self, publication: rtc.RemoteTrackPublication) -> bool:
        """Return whether a publication is encrypted."""
        if publication.encryption_type == rtc.EncryptionType.NONE:
            return False
        if publication.sid not in self._logged:
            self._logged.add(publication.sid)
            log.warning(
                "track refused",
                track=publication.sid,
                reason="the room is end-to-end encrypted and the agent has no key",
            )
        return True
