"""Reads a vendor's key from an environment, in one way for all who need it. Knows no vendor and shows no key."""

from __future__ import annotations

import re
from collections.abc import Mapping

from routing.errors import ConfigurationError

# A quote at an end is the shell's, or an .env file's, and was to be no part of the key.
_NO_PART_OF_A_KEY = re.compile(r"[^!-~]|^[\"']|[\"']$")


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
