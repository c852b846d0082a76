"""Lets a model answer with silence, and recognises that answer by its first words."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import aclosing

SILENCE = "<silent>"
INSTRUCTION = (
    "The last message was said in the meeting, and it is not certain that it is for you. If it is for somebody else, "
    f"or is only thanks, assent or small talk that wants no answer from you, answer with nothing but {SILENCE}"
)
ALONE_INSTRUCTION = (
    "The speaker is alone in the meeting with you, so the last message is likely for you: answer it. Only if it is "
    f"no more than thanks or assent, or is said to themselves or into a telephone, answer with nothing but {SILENCE}"
)
_SILENT = re.compile(r"\W*[<\[({]\s*silent\b|\W*silent\W*$", re.IGNORECASE)
_WORD = "silent"
MAX_HELD_CHARS = 40
"""Longer than the token in any dress: a text without a word for this long is an answer."""
MAX_DRAINED_CHARS = 400
"""A model may explain its silence. It ends by itself soon; only then is its usage exact."""


def may_be_silence(text: str) -> bool:
    """Return whether the beginning of an answer may still become the silence token."""
    if len(text) > MAX_HELD_CHARS:
        return False
    letters = "".join(char for char in text.casefold() if char.isalnum())
    return _WORD.startswith(letters)


def is_silence(text: str) -> bool:
    """Return whether an answer, or its beginning, is the silence token: in any case, quoted or not, or no word."""
    return _SILENT.match(text) is not None or not any(char.isalnum() for char in text)


async def words_unless_silent(words: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield the pieces of an answer once they can no longer be silence; yield nothing for a silent answer."""
    held, drained, decided = "", 0, False
    async with aclosing(words):  # type: ignore[type-var]
        async for piece in words:
            if decided:
                yield piece
                continue
            held += piece
            if may_be_silence(held):
                continue
            if not is_silence(held):
                decided = True
                yield held
            elif (drained := drained + len(piece)) > MAX_DRAINED_CHARS:
                return
    if not decided and not is_silence(held):
        yield held
