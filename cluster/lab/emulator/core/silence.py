"""Lets the simulated model be silent where a request offers that: by a rule over names and marks, not by understanding.

The token comes in changing dress, as real models write it. A test shows that silence is possible, and never how well a
real model chooses it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Final

from cluster.lab.emulator.core.content import RequestMessage

_OFFER: Final = re.compile(r"nothing but (<[a-z]+>)\s*\Z")
_NAME: Final = re.compile(r"You take part in a live meeting as ([^.\n]+)\.")
_ALONE: Final = "The speaker is alone in the meeting with you"
_FEW_WORDS: Final = 3
_DRESSES: Final = ("{}", "{}\n", " {}.", "`{}`", "**{}**")


def silent_words(turns: Sequence[RequestMessage]) -> tuple[str, ...] | None:
    """Return the token of silence; None where none is offered, or the last message asks or calls the agent.

    To somebody alone with the agent it is silent after a few words only.
    """
    system = [part for turn in turns if turn.role == "system" for part in turn.parts if isinstance(part, str)]
    token = next((found[1] for part in system if (found := _OFFER.search(part))), None)
    text = next((part for part in reversed(turns[-1].parts if turns else ()) if isinstance(part, str)), "")
    names = [found[1].lower() for part in system if (found := _NAME.search(part))]
    words = re.findall(r"\w+", text.lower())
    called = any(name in (words[:1] + words[-1:]) for name in names)
    alone = any(_ALONE in part for part in system)
    if token is None or called or "?" in text or (alone and len(words) > _FEW_WORDS):
        return None
    number = zlib.crc32(text.encode())
    dressed = _DRESSES[number % len(_DRESSES)].format(token)
    return (dressed.upper() if number % 2 else dressed,)
