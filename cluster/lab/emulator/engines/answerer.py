"""Answer questions by a rule over the messages, in place of a language model.

It takes the question to be the last message, and all else to be quotations: of screens, of passages, of people. It
follows no instruction in any of them. So a test shows which material reached the prompt, and never how a real model
would use it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from cluster.lab.emulator.core.content import RequestMessage
from cluster.lab.emulator.speech.languages import language_of

LEAST_OVERLAP: Final = 0.6
"""How many of a question's words a sentence must hold to be its answer."""
_WORD: Final = re.compile(r"[a-z0-9']+")
_NUMBER: Final = re.compile(r"(?<![a-z0-9])\d+(?:[.,'\u2019]\d+| \d{3}(?!\d))*", re.IGNORECASE)
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+")
_QUOTATION: Final = re.compile(r"^<<<data \w+ (?P<label>[a-z]+)\n(?P<body>.*?)^data \w+>>>$", re.DOTALL | re.MULTILINE)
_SHOWN: Final = re.compile(
    r"^[^:]*?, (?:\d+ pictures from )?picture \d+[^:]*?, (?P<when>shown now|from )[^:]*: (?P<text>.+)$"
)
_PICTURE: Final = re.compile(r"^(?P<number>\d+): \w+ \d+(?: of \"(?P<name>.*)\")?$")
_SCREEN_WORDS: Final = frozenset("slide screen page picture shown showing shows see folie bildschirm seite".split())
_EARLIER_WORDS: Final = frozenset("before previous earlier last".split())
_FOUND: Final = {"en": "The number on the slide is {}.", "de": "Die Zahl auf der Folie ist {}."}
_NOT_FOUND: Final = {"en": "I see no number on the slide.", "de": "Ich sehe keine Zahl auf der Folie."}
_STOP_WORDS: Final = frozenset(
    "a an and are at can did do does for from has have hey how i in is it many me much must number of on or our please "
    "rayroom say tell that the there this to us was we were what when where which who will with you your".split()
)


@dataclass(frozen=True, slots=True)
class _Quotation:
    """A quoted part of the prompt, and its kind."""

    label: str
    lines: tuple[str, ...] = field(repr=False)


class RuleAnswerer:
    """Answers by a rule. `describe` returns a description of a JPEG."""

    def __init__(self, describe: Callable[[bytes], str]) -> None:
        self._describe = describe

    def answer(self, turns: Sequence[RequestMessage]) -> str:
        """Return the answer to the last message: a description, a number from the screen, or a sentence that fits."""
        question = turns[-1]
        if len(turns) == 1 and question.images and "?" not in question.text:
            return self._describe(question.images[-1])
        quotations = [quotation for turn in turns for quotation in _quotations(turn)]
        # Gemini's messages hold what others send as several, and the question is their last part.
        text = next((part for part in reversed(question.parts) if isinstance(part, str)), "")
        words = _words(text)
        if words & _SCREEN_WORDS:
            return self._of_screen(words, question.images, quotations)
        return _sentence(words, quotations) or f"I find nothing about {_subject(text)}."

    def _of_screen(self, words: set[str], images: Sequence[bytes], quotations: Sequence[_Quotation]) -> str:
        """Return the number of a slide in English, or in German where the question is."""
        shown = [match for quotation in quotations for line in quotation.lines if (match := _SHOWN.match(line))]
        now = [match["text"] for match in shown if match["when"] == "shown now"]
        earlier = [match["text"] for match in shown if match["when"] != "shown now"]
        if words & _EARLIER_WORDS:
            number = _number(earlier[0] if earlier else "")
            return f"The slide before this one showed {number}." if number else "I saw no slide before this one."
        number = _number(self._describe(_asked(words, images, quotations)) if images else next(iter(now), ""))
        language = "de" if language_of(words) == "de" else "en"
        return _FOUND[language].format(number) if number else _NOT_FOUND[language]


def _quotations(turn: RequestMessage) -> Iterator[_Quotation]:
    for found in _QUOTATION.finditer(turn.text):
        yield _Quotation(found["label"], tuple(line.removeprefix("| ") for line in found["body"].splitlines()))


def _asked(words: set[str], images: Sequence[bytes], quotations: Sequence[_Quotation]) -> bytes:
    """Return the picture of the person named in the question, or else the first."""
    lines = (line for quotation in quotations if quotation.label == "picture" for line in quotation.lines)
    for found in filter(None, map(_PICTURE.match, lines)):
        if words & _words(found["name"] or "") and int(found["number"]) <= len(images):
            return images[int(found["number"]) - 1]
    return images[0]


def _sentence(words: set[str], quotations: Sequence[_Quotation]) -> str:
    """Return the sentence that holds most of the question's words and a number, passages before all else."""
    wanted = words - _STOP_WORDS
    best, most = "", LEAST_OVERLAP
    candidates = (one for one in quotations if one.label in ("passage", "screen"))
    for quotation in sorted(candidates, key=lambda one: one.label != "passage"):
        for sentence in (part for line in quotation.lines for part in _SENTENCE_END.split(line)):
            held = len(wanted & _words(sentence)) / max(1, len(wanted))
            if held > most or (held == most and not best):
                best, most = (sentence, held) if _NUMBER.search(sentence) else (best, most)
    return best


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _number(text: str) -> str:
    found = _NUMBER.search(text)
    return found[0] if found else ""


def _subject(text: str) -> str:
    return " ".join(word for word in _WORD.findall(text.lower()) if word not in _STOP_WORDS) or "that"
