"""Scores of how hard a turn or a frame is to answer, each with its reasons."""

from __future__ import annotations

import math
import re
import string
from dataclasses import dataclass, field

from routing.models import FrameFeatures

# Length carries the score and the cues adjust it: length alone ranks turns better than most keyword scorers do.
# Its letters count, not its digits and signs. On RouteLLM's labels (2026-11-25; GSM8K 1,307 and MMLU 14,037 prompts)
# the area of the recovered gap is 0.60 and 0.60, by bytes alone 0.60 and 0.59, by chance 0.50: a half of the gap or
# less is in the text. "steps" and "negation" were weighed on those two sets; the cues of a room are judgement.
LENGTH_WEIGHT = 0.6
LENGTH_SCALE_LETTERS = 400
COUNTED_CHARS = 8_000
EXCERPT_CHARS = 1_000
"""The characters at each end of a turn that are searched for cues: a pasted log must not cost a millisecond."""

_NON_LETTERS = (string.digits + string.punctuation + string.whitespace).encode()
_WORD = re.compile(r"[a-z']+")
_STEP_WORDS = frozenset("compare versus tradeoff tradeoffs prove derive design plan calculate optimize debug".split())
_STEP_PHRASES = ("step by step", "trade-off", "pros and cons", "and then ", "first, ", "walk me through")
_NEGATIONS = frozenset(("not", "except", "least", "never", "without", "false", "incorrect"))
_WHY_WORDS = frozenset(("why", "explain", "should", "cause", "causes", "implications"))
_WHY_PHRASES = ("how come", "what if", "what would happen")
_CODE_MARKS = (
    "```",
    "traceback (most",
    "();",
    "=>",
    "</",
    "#include",
    "!=",
    "==",
    "select * from",
    "error: ",
    "\ndef ",
)
_REPAIR = re.compile(r"\s*(?:no\b(?! (?:problem|worries|thanks))|not that\b|i meant\b|that'?s (?:wrong|not)\b|wrong\b)")
_CLOSING = re.compile(
    r"(?:\W*\b(?:ok(?:ay)?|yes|yeah|sure|great|cool|thanks?|thank you|got it|bye|hi|hello|hey)\b)+\W*"
)
_CLOSING_CHARS = 40


@dataclass(frozen=True, slots=True)
class Complexity:
    """A score in 0..1 and the features that made it."""

    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFeatures:
    """A turn and its context."""

    text: str = field(repr=False)
    has_image: bool = False
    last_answer_failed: bool = False


def score_text(text: str) -> Complexity:
    """Score a turn by its text alone."""
    return score_turn(TurnFeatures(text=text))


def score_turn(turn: TurnFeatures) -> Complexity:
    """Score a turn by its length, then let each cue add its share of the rest up to 1."""
    excerpt = _excerpt(turn.text).lower()
    words = frozenset(_WORD.findall(excerpt))
    letters = len(turn.text[:COUNTED_CHARS].encode().translate(None, delete=_NON_LETTERS))
    cues = (
        ("long", LENGTH_WEIGHT * -math.expm1(-letters / LENGTH_SCALE_LETTERS)),
        ("code", 0.30 if _any(_CODE_MARKS, excerpt) else 0.0),
        ("steps", 0.20 if words & _STEP_WORDS or _any(_STEP_PHRASES, excerpt) else 0.0),
        ("negation", 0.15 if words & _NEGATIONS else 0.0),
        ("why", 0.05 if words & _WHY_WORDS or _any(_WHY_PHRASES, excerpt) else 0.0),
        ("repair", 0.35 if _REPAIR.match(excerpt) else 0.0),
        ("image", 0.10 if turn.has_image else 0.0),
        ("failed before", 0.50 if turn.last_answer_failed else 0.0),
    )
    score = 1.0 - math.prod(1.0 - weight for _, weight in cues)
    if _is_closing(excerpt) and not turn.last_answer_failed:
        return Complexity(round(score / 4, 4), ("closing",))
    return Complexity(round(score, 4), _reasons(cues, 0.05))


def rejects(text: str) -> bool:
    """Return whether a turn opens by rejecting the previous answer."""
    return _REPAIR.match(_excerpt(text).lower()) is not None


def score_frame(features: FrameFeatures) -> Complexity:
    """Score a frame by the agent's measurements: dense text and large changes are hard."""
    signals = (
        ("text", 0.45 * features.text_density),
        ("edges", 0.15 * features.edge_energy),
        ("changed", 0.20 * features.changed_share),
        ("novel", 0.20 * features.novelty),
    )
    return Complexity(round(min(sum(weight for _, weight in signals), 1.0), 4), _reasons(signals, 0.1))


def _excerpt(text: str) -> str:
    return text if len(text) <= 2 * EXCERPT_CHARS else f"{text[:EXCERPT_CHARS]} {text[-EXCERPT_CHARS:]}"


def _any(marks: tuple[str, ...], text: str) -> bool:
    return any(mark in text for mark in marks)


def _is_closing(text: str) -> bool:
    return len(text) <= _CLOSING_CHARS and "?" not in text and _CLOSING.fullmatch(text) is not None


def _reasons(cues: tuple[tuple[str, float], ...], min_weight: float) -> tuple[str, ...]:
    return tuple(name for name, weight in cues if weight >= min_weight)
