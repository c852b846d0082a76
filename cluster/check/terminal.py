"""Print foreign text safely: text of vendors, files and the environment is no markup and shows no key."""

from __future__ import annotations

import os

from rich.markup import escape
from rich.text import Text

from routing.vendor_keys import hide_keys, keys_in


def plain(text: str) -> str:
    """Return text on one line, with a space for each unprintable character."""
    return "".join(char if char.isprintable() else " " for char in text)


def cell(text: str) -> str:
    """Return foreign text for a cell of a table: on one line, and no markup."""
    return escape(plain(text))


def keyless(text: str) -> str:
    """Return text without this environment's keys, and without substrings that look like keys."""
    return hide_keys(text, keys_in(os.environ))


def labelled(label: str, style: str, text: str) -> Text:
    """Return keyless lines of text after a styled label."""
    return Text.assemble((label, style), ": ", "\n".join(map(plain, keyless(text).split("\n"))))
