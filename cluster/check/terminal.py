"""Shows in a terminal what others wrote: vendors, files, the environment. None of it is markup, or a key."""

from __future__ import annotations

import os

from rich.text import Text

from routing.vendor_keys import hide_keys, keys_in


def plain(text: str) -> str:
    """Return text on one line, a blank for each character that cannot be seen."""
    return "".join(char if char.isprintable() else " " for char in text)


def keyless(text: str) -> str:
    """Return text without this environment's keys, and without what looks like one."""
    return hide_keys(text, keys_in(os.environ))


def labelled(label: str, style: str, text: str) -> Text:
    """Return lines of text behind a label that alone has a style; no key is in them."""
    return Text.assemble((label, style), ": ", "\n".join(map(plain, keyless(text).split("\n"))))
