"""Quotes untrusted text as data in a prompt, so that the text cannot end its own quotation.

The key of a quotation is drawn for each turn, after all the text in it was written:

    <<<data 5d0c3a91e27b screen
    | the text, each line behind a bar
    data 5d0c3a91e27b>>>

Three rules keep it closed. Each line begins with a bar, so no line of the text begins a line of the prompt. The key is
removed from the text. Marks like ours, and control tokens of chat templates, are respelled: a self-hosted server may
read `<|im_start|>` in a text as the token itself. Invisible characters between plain letters and signs are removed
first, because a model may read on as if they were not there.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from routing.estimates import BYTES_PER_TOKEN

MAX_QUOTED_CHARS = 40_000
"""The part of a text that is read; the rest is ignored."""
MAX_NAME_CHARS = 64
NOBODY = "someone"
MIN_QUOTE_TOKENS = 16
"""A quotation with less room for its text is left out."""
CUT = "…"
LONGEST_WORD_CHARS = 40
MAX_MARKS = 4

_KEY = re.compile(r"[0-9a-z]{12,64}")
_LABEL = re.compile(r"[a-z][a-z ]{0,30}")
_LINE_ENDS = re.compile(r"\r\n|[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")
_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")
_JOINERS = re.compile("[\ufe0e\ufe0f\u200c\u200d]+")
_OPENING = "<\uff1c\ufe64\u02c2\u1438\u2039\u00ab\u276e\u2770\u27e8\u27ea\u3008\u300a\u226a\u22d8\u2aa1"
_CLOSING = ">\uff1e\ufe65\u02c3\u1433\u203a\u00bb\u276f\u2771\u27e9\u27eb\u3009\u300b\u226b\u22d9\u2aa2"
_MARK = re.compile(f"[{_OPENING}]{{2,}}")
_END_MARK = re.compile(f"[{_CLOSING}]{{2,}}")
_TOKEN_START = re.compile("[<\uff1c\ufe64](?=[|\uff5c/\uff0f!A-Za-z_])")
_TOKEN_END = re.compile("(?<=[|\uff5c])[>\uff1e\ufe65]")
_BRACKET_TOKEN = re.compile(r"\[(?=/?g?[A-Z][A-Z_]{2,}\])")
# Invisible characters that Unicode classifies as letters or marks.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2065\u2800\u3164\uffa0")
_KEPT_FORMAT = frozenset("\u200c\u200d")
_EMOJI_STYLES = frozenset("\ufe0e\ufe0f")
# Signs that end a name in a list, or surround it.
_NAME_ENDS = frozenset(',:;|"`<>(){}[]')
# Letters and symbols, by their category, that look like a colon, a comma or a quotation mark.
_LIKE_NAME_ENDS = frozenset(
    "\u00b8\u02ba\u02cc\u02d0\u02d1\u02ee\u02f8\u0375\u2223\u2236\u2237\u2502\u2982\ua4f9\ua4fa\ua4fc\ua4fd\ua789\ufe30"
)
# The punctuation beyond ASCII that names are written with.
_OF_NAMES = frozenset("\u00b7\u05f3\u05f4\u2018\u2019\u201b\u2027\u3002\u30fb")


@dataclass(frozen=True, slots=True)
class Fence:
    """The quotation marks of one turn."""

    key: str

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.key):
            raise ValueError("The key of a fence must be 12 to 64 lower-case letters and digits.")

    def quote(self, label: str, text: str, max_tokens: int) -> str:
        """Return `text` between this turn's marks, cut to `max_tokens`; empty where there is no text or no room."""
        # The label stands outside the quotation, so it must never be untrusted text.
        if not _LABEL.fullmatch(label):
            raise ValueError("A label of a quotation must be 1 to 31 lower-case letters and spaces.")
        start, end = f"<<<data {self.key} {label}\n", f"data {self.key}>>>"
        room_bytes = max_tokens * BYTES_PER_TOKEN - len(start) - len(end)
        if room_bytes < MIN_QUOTE_TOKENS * BYTES_PER_TOKEN:
            return ""
        body = _within(self.inner(text).split("\n"), room_bytes)
        return f"{start}{body}{end}" if body else ""

    def inner(self, text: str) -> str:
        """Return a text without keys and marks, safe between the marks or alone in a user message."""
        return _without_look_alikes(_without_key(plain(text), self.key))


def plain(text: str, max_chars: int = MAX_QUOTED_CHARS) -> str:
    """Return the visible characters of a text, at most `max_chars`, with `\\n` as line end; emoji stay whole."""
    text = _LINE_ENDS.sub("\n", text[:max_chars]).replace("\t", " ")
    if not (text.isascii() and text.isprintable()):
        text = text.translate({ord(char): None for char in set(text) if _unwanted(char)})
        # Stacked marks are cut first: NFC sorts a run of marks in time quadratic in its length.
        text = unicodedata.normalize("NFC", _without_stacked_marks(text))
        text = _JOINERS.sub(_joined, text)
    return _BLANK_LINES.sub("\n", text).strip()[:max_chars]


def one_line(text: str, max_chars: int) -> str:
    """Return a text in one line, cut to `max_chars` with an ellipsis."""
    # More characters are read than returned, because blanks collapse.
    line = " ".join(plain(text, 4 * max_chars).split())
    return line if len(line) <= max_chars else _cut(line[: max_chars - len(CUT)])


def clean_name(name: str) -> str:
    """Return a participant's name for use in front of their words, or "someone" where nothing of it is visible.

    The result has no colon, comma, semicolon, bracket or double quotation mark, and no look-alike of these.
    """
    # After `plain`: its NFC turns a Greek question mark into a semicolon.
    cleaned = "".join(" " if _ends_name(char) else char for char in plain(name, 4 * MAX_NAME_CHARS))
    line = one_line(cleaned, MAX_NAME_CHARS)
    return line if any(_is_visible(char) for char in line) else NOBODY


def tokens_of(text: str) -> int:
    """Return an estimate of a text's tokens; for Latin text it is never too low."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def _within(lines: list[str], room_bytes: int) -> str:
    """Return as many lines as fit, each behind a bar; the last may be cut."""
    quoted: list[str] = []
    for line in lines:
        room_bytes -= len(line.encode()) + len("| \n")
        if room_bytes < 0:
            cut = _cut(line.encode()[: room_bytes - len(CUT.encode())].decode("utf-8", "ignore"))
            return "".join([*quoted, f"| {cut}\n" if cut != CUT else ""])
        if line:
            quoted.append(f"| {line}\n")
    return "".join(quoted)


def _cut(head: str) -> str:
    """Cut a text between words and add an ellipsis: half a number is a wrong number."""
    words, _, rest = head.rpartition(" ")
    return (words if words and len(rest) < LONGEST_WORD_CHARS else head).rstrip("\u200d ") + CUT


def _without_key(text: str, key: str) -> str:
    """Replace each key by an ellipsis, also in full-width or mathematical letters, which some models read alike."""
    folded = text.lower() if text.isascii() else "".join(map(_folded, text))
    parts: list[str] = []
    position = 0
    for found in re.finditer(key, folded):
        parts.append(text[position : found.start()])
        position = found.end()
    return CUT.join([*parts, text[position:]])


def _without_look_alikes(text: str) -> str:
    text = _MARK.sub(lambda run: "\u2039" * len(run[0]), text)
    text = _END_MARK.sub(lambda run: "\u203a" * len(run[0]), text)
    text = _TOKEN_END.sub("\u203a", _TOKEN_START.sub("\u2039", text))
    return _BRACKET_TOKEN.sub("(", text)


def _joined(run: re.Match[str]) -> str:
    """Reduce a run of emoji styles and joiners to one of each: a longer run can carry a hidden message.

    Between plain letters and signs the run is removed: there it only hides a word from a search.
    """
    neighbours = run.string[max(0, run.start() - 1) : run.start()] + run.string[run.end() : run.end() + 1]
    if not any(_joins(char) for char in neighbours):
        return ""
    style = next((char for char in run[0] if char in _EMOJI_STYLES), "")
    return style + next((char for char in run[0] if char in _KEPT_FORMAT), "")


def _joins(char: str) -> bool:
    return not (_folded(char).isascii() or char.isspace() or char in _OPENING or char in _CLOSING)


def _without_stacked_marks(text: str) -> str:
    """Keep at most `MAX_MARKS` marks on a letter: more would cover the lines around it."""
    if not any(_is_mark(char) for char in set(text)):
        return text
    kept: list[str] = []
    height = 0
    for char in text:
        # A joiner between two marks does not begin a new letter.
        if char not in _KEPT_FORMAT:
            height = height + 1 if _is_mark(char) else 0
        if height <= MAX_MARKS:
            kept.append(char)
    return "".join(kept)


@lru_cache(maxsize=4_096)
def _unwanted(char: str) -> bool:
    if char == "\n" or char in _KEPT_FORMAT or char in _EMOJI_STYLES:
        return False
    # Tags and variation selectors can spell a hidden message. Unassigned characters stay: some emoji are newer than
    # the Unicode tables of this Python.
    hidden = 0xE0000 <= ord(char) <= 0xE0FFF or 0xFE00 <= ord(char) <= 0xFE0D or ord(char) & 0xFFFE == 0xFFFE
    hidden = hidden or 0xFFF0 <= ord(char) <= 0xFFF8
    return hidden or char in _INVISIBLE or unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co")


@lru_cache(maxsize=4_096)
def _is_mark(char: str) -> bool:
    return unicodedata.category(char) in ("Mn", "Me") or unicodedata.combining(char) > 0


@lru_cache(maxsize=4_096)
def _folded(char: str) -> str:
    """Return the plain lower-case letter or sign of a compatibility form, or the character itself."""
    form = unicodedata.normalize("NFKC", char).lower()
    return form if len(form) == 1 and form.isascii() else char


@lru_cache(maxsize=4_096)
def _ends_name(char: str) -> bool:
    form = unicodedata.normalize("NFKC", char)
    if form.isascii():
        return not _NAME_ENDS.isdisjoint(form)
    punctuation = unicodedata.category(char) in ("Po", "Ps", "Pe", "Pi", "Pf")
    return char in _LIKE_NAME_ENDS or (punctuation and form not in _OF_NAMES)


def _is_visible(char: str) -> bool:
    return unicodedata.category(char)[0] in "LNS" or unicodedata.category(char) == "Cn"
