"""Shows in a terminal what others wrote: vendors, files, the environment. Nothing in it is markup or moves a cursor."""

from __future__ import annotations

from rich.text import Text


def plain(text: str) -> str:
    """Return text on one line, a blank for each character that cannot be seen."""
    return "".join(char if char.isprintable() else " " for char in text)


def labelled(label: str, style: str, text: str) -> Text:
    """Return lines of text behind a label that alone has a style."""
    return Text.assemble((label, style), ": ", "\n".join(map(plain, text.split("\n"))))
