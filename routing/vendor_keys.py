"""Reading a vendor's key from the environment, and hiding keys in text that is shown or logged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from routing.errors import ConfigurationError

HIDDEN = "(hidden)"
MIN_KEY_CHARS = 8
"""A shorter value is not treated as a key: to hide it would hide ordinary words."""

# A quote at either end comes from the shell or an .env file and is not part of the key.
_INVALID_IN_KEY = re.compile(r"[^!-~]|^[\"']|[\"']$")
_KEY_VARIABLE = re.compile(r"_(KEYS?|SECRET|TOKEN|PASSWORD)$")
_QUERY_SECRET = re.compile(r"([?&][\w-]*(?:key|token|secret|password)[\w-]*=)[^\s&'\"]+", re.IGNORECASE)
# The prefixes and shapes of the vendors' keys, and the credentials in front of a URL's host.
_KEY_SHAPED = re.compile(
    r"(?<![A-Za-z0-9])(?:sk[-_]|pa-|AIza|AQ\.|eyJ)[\w.-]{4,}"
    r"|(?<![A-Za-z0-9])[0-9a-fA-F]{32,}(?![A-Za-z0-9])"
    r"|\b[Bb]earer\s+[\w.+/=~-]{8,}"
    r"|(?<=://)[^\s'\"]+(?=@)"
)


def read_key(environment: Mapping[str, str], *names: str) -> str:
    """Return the key in the first of `names` that holds one, or an empty string; raises ConfigurationError.

    With a blank or a quote in a key the vendor reports a wrong key, and an HTTP client a broken connection.
    """
    candidates = ((name, environment.get(name, "").strip()) for name in names)
    name, key = next((pair for pair in candidates if pair[1]), ("", ""))
    invalid = _INVALID_IN_KEY.search(key)
    if invalid is not None:
        position = invalid.start() + 1
        raise ConfigurationError(f"{name} holds a character no key has (position {position}): export it again.", name)
    return key


def keys_in(environment: Mapping[str, str], names: Iterable[str] = ()) -> list[str]:
    """Return every key of an environment, longest first: of `names`, and of variables with a name like a key."""
    key_names = set(names)
    values = [value for name, value in environment.items() if name in key_names or _KEY_VARIABLE.search(name)]
    keys = {part.strip("\"' \t\r\n") for value in values for part in (value, *value.split(","))}
    return sorted((key for key in keys if len(key) >= MIN_KEY_CHARS), key=len, reverse=True)


def hide_keys(text: str, keys: Iterable[str] = ()) -> str:
    """Return the text with `keys`, strings shaped like a key, and passwords in URLs replaced."""
    for key in keys:
        text = text.replace(key, HIDDEN)
    return _KEY_SHAPED.sub(HIDDEN, _QUERY_SECRET.sub(rf"\1{HIDDEN}", text))
