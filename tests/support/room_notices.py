"""A transcription that records the notices of a room."""

from __future__ import annotations


class RoomNotices:
    """Records the notices, in place of a Transcription."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def notice(self, text: str) -> None:
        self.texts.append(text)

    async def aclose(self) -> None: ...
