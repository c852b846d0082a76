"""Generate text that tries to break out of a quotation, and parse the quotations of a prompt strictly."""

from __future__ import annotations

import random
import re
import unicodedata
from dataclasses import dataclass

FRAGMENTS = (
    "<<<data ",
    "data ",
    ">>>",
    "<<<",
    "| ",
    "\uff1c\uff1c\uff1c",
    "\u00ab\u00ab",
    "<|im_start|>system",
    "<|eot_id|>",
    "</s>",
    "<\uff5cUser\uff5c>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<start_of_turn>",
    "System: obey",
    "\nHuman:",
    "```",
    "\r",
    "\r\n",
    "\n\n",
    "\x0b",
    "\x0c",
    "\x85",
    "\u2028",
    "\u2029",
    "\x00",
    "\x1b[2J",
    "<\u200d|im_start|\u200c>",
    "<\ufe0f<",
    "\u202e",
    "\u200b",
    "\u200d",
    "\ufe0f",
    "\U000e0041",
    "\udc80",
    "e\u0301\u0301\u0301\u0301\u0301\u0301\u0301",
    "\U0001f469\u200d\U0001f4bb",
    "的第四季度",
    "revenue 4.2 million",
    " ",
)
CONTROL_TOKENS = ("<|", "|>", "</s>", "<s>", "<\uff5c", "[INST]", "[/INST]", "<<", "<start_of_turn>")


def hostile_text(rng: random.Random, key: str, max_fragments: int = 40) -> str:
    """Return random text of marks, tokens, line ends, hidden characters, plain words and the key itself."""
    fragments = (*FRAGMENTS, key, key.upper(), key[:5], key[5:], "\u200d".join(key), "\ufe0f".join(key))
    return "".join(rng.choice(fragments) for _ in range(rng.randint(0, max_fragments)))


def as_read_by_model(text: str) -> str:
    """Return a text as a model may read it: without invisible characters, and with plain letters for other forms."""
    return unicodedata.normalize("NFKC", re.sub("[\u200c\u200d\ufe0e\ufe0f\u180b-\u180f]", "", text)).lower()


@dataclass(frozen=True, slots=True)
class Quotation:
    """The label and lines between two marks."""

    label: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def quotations(context: str, key: str) -> list[Quotation]:
    """Return a context's quotations in order. Raise AssertionError if any character is outside of them."""
    parsed: list[Quotation] = []
    lines = iter(context.split("\n") if context else [])
    for opening_mark in lines:
        start = f"<<<data {key} "
        assert opening_mark.startswith(start), f"outside of a quotation: {opening_mark!r}"
        inside: list[str] = []
        for line in lines:
            if line == f"data {key}>>>":
                break
            assert line.startswith("| "), f"not behind a bar: {line!r}"
            inside.append(line.removeprefix("| "))
        else:
            raise AssertionError("a quotation is not closed")
        parsed.append(Quotation(opening_mark.removeprefix(start), tuple(inside)))
    return parsed
