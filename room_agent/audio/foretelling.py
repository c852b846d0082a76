"""Decides when what was heard so far is worth a search, before it is known to be all. Searches nothing."""

from __future__ import annotations

from room_agent.text.normalize import says_the_same

STILL_S = 0.15
"""A text that is not final has stood for so long when it is looked up: where the final one is late, not before each."""
MOST_TOLD = 3
"""Of one utterance: every search is paid for."""


class StablePartial:
    """One utterance's texts as they come; `forget` begins the next."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._text = self._told = ""
        self._since_s = 0.0
        self._times = 0

    def worth_telling(self, text: str, final: bool, now_s: float) -> bool:
        """Tell whether to look `text` up now: it stands still or is final, and asks for something new."""
        if text != self._text:
            self._text, self._since_s = text, now_s
        still = final or now_s - self._since_s >= STILL_S
        if not text or not still or self._times >= MOST_TOLD or says_the_same(self._told, text):
            return False
        self._told = text
        self._times += 1
        return True
