"""Log the frames that arrive later than a newer one of their track."""

from __future__ import annotations

import structlog
from cachetools import FIFOCache

from deployments.api.frame_schemas import FrameHeaders

MOST_TRACKS = 4_096

log = structlog.get_logger()


class FrameOrder:
    """The newest capture time of each track, as one replica has seen it; bounded.

    A late frame is logged and still described: another replica may have served the newer one, and its agent waits for
    each description.
    """

    def __init__(self) -> None:
        self._newest_s: FIFOCache[tuple[str, str], float] = FIFOCache(MOST_TRACKS)

    def check(self, room: str, headers: FrameHeaders) -> None:
        """Log a frame that is older than one received before it."""
        if headers.captured_at is None or headers.track is None:
            return
        key = (room, headers.track)
        newest_s = self._newest_s.get(key, headers.captured_at)
        self._newest_s[key] = max(newest_s, headers.captured_at)
        if headers.captured_at < newest_s:
            behind_s = round(newest_s - headers.captured_at, 3)
            log.info("frame received late", room=room, track=headers.track, behind_s=behind_s)
