"""Scores how hard a turn or a frame is, with its reasons. Knows no model and no price."""

from __future__ import annotations

import re
from dataclasses import dataclass

from routing.messages import FrameFeatures

_CODE = re.compile(r"```|\b(?:def|class|function|SELECT|import|return|traceback|exception)\b")
_STEPS = re.compile(
    r"\b(?:step by step|first\b.*\bthen|compare|versus|trade-?offs?|prove|derive|plan|design)\b", re.I | re.S
)
_WHY = re.compile(r"\b(?:why|how come|explain|what if|should (?:we|i))\b", re.I)
_REPAIR = re.compile(r"^\s*(?:no\b|not that|i meant|that'?s wrong|wrong\b)", re.I)
LONG_TURN_CHARS = 600


@dataclass(frozen=True, slots=True)
class Complexity:
    """A score in 0..1 and the features that made it."""

    score: float
    reasons: tuple[str, ...]


def score_text(text: str, *, has_image: bool = False) -> Complexity:
    """Score a turn by its length, code, steps, question kind and repair words."""
    length = min(len(text) / LONG_TURN_CHARS, 1.0)
    signals = (
        ("long", 0.35 * length if length > 0.25 else 0.0),
        ("code", 0.25 if _CODE.search(text) else 0.0),
        ("steps", 0.30 if _STEPS.search(text) else 0.0),
        ("why", 0.20 if _WHY.search(text) else 0.0),
        ("repair", 0.30 if _REPAIR.search(text) else 0.0),
        ("image", 0.10 if has_image else 0.0),
    )
    return _sum(signals)


def score_frame(features: FrameFeatures) -> Complexity:
    """Score a frame by what the agent measured: dense text and much that is new are hard."""
    signals = (
        ("text", 0.45 * features.text_density),
        ("edges", 0.15 * features.edge_energy),
        ("changed", 0.20 * features.changed_share),
        ("novel", 0.20 * features.novelty),
    )
    return _sum(signals)


def _sum(signals: tuple[tuple[str, float], ...]) -> Complexity:
    score = min(sum(weight for _, weight in signals), 1.0)
    return Complexity(round(score, 4), tuple(name for name, weight in signals if weight >= 0.1))
