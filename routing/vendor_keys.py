"""Reads a vendor's key from an environment, and hides keys in what is shown. In one way for all who need it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from routing.errors import ConfigurationError

HIDDEN = "(hidden)"
SHORTEST_KEY_CHARS = 8
"""A shorter value is taken for no key: to hide it would hide half of what is said."""

# A quote at an end is the shell's, or an .env file's, and was to be no part of the key.
_NO_PART_OF_A_KEY = re.compile(r"[^!-~]|^[\"']|[\"']$")
_NAMES_A_KEY = re.compile(r"_(KEYS?|SECRET|TOKEN|PASSWORD)$")
_IN_A_QUERY = re.compile(r"([?&][\w-]*(?:key|token|secret|password)[\w-]*=)[^\s&'\"]+", re.IGNORECASE)
# How the vendors' keys begin, or look, and who stands before a URL's host.
_LIKE_A_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:sk[-_]|pa-|AIza|AQ\.|eyJ)[\w.-]{4,}"
    r"|(?<![A-Za-z0-9])[0-9a-fA-F]{32,}(?![A-Za-z0-9])"
    r"|\b[Bb]earer\s+[\w.+/=~-]{8,}"
    r"|(?<=://)[^\s'\"]+(?=@)"
)


def read_key(environment: Mapping[str, str], *names: str) -> str:
    """Return the key in the first of `names` that holds one, or an empty string; raises ConfigurationError.

    A vendor would call a key with a blank or a quote in it a wrong key, and a client of HTTP a broken connection.
    """
    found = ((name, environment.get(name, "").strip()) for name in names)
    name, key = next((pair for pair in found if pair[1]), ("", ""))
    wrong = _NO_PART_OF_A_KEY.search(key)
    if wrong is not None:
        position = wrong.start() + 1
        raise ConfigurationError(f"{name} holds a character no key has (position {position}): export it again.", name)
    return key


def keys_in(environment: Mapping[str, str], names: Iterable[str] = ()) -> list[str]:
    """Return every key of an environment, the longest first: in `names`, and in variables that are named like one."""
    wanted = set(names)
    values = [value for name, value in environment.items() if name in wanted or _NAMES_A_KEY.search(name)]
    keys = {part.strip("\"' \t\r\n") for value in values for part in (value, *value.split(","))}
    return sorted((key for key in keys if len(key) >= SHORTEST_KEY_CHARS), key=len, reverse=True)


def hide_keys(text: str, keys: Iterable[str] = ()) -> str:
    """Return a text without `keys`, without what looks like a key, and without the passwords of URLs."""
    for key in keys:
        text = text.replace(key, HIDDEN)
    return _LIKE_A_KEY.sub(HIDDEN, _IN_A_QUERY.sub(rf"\1{HIDDEN}", text))
