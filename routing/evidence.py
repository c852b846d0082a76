"""Signs in an answer that it is none, or that a stronger model should answer instead. English answers only."""

from __future__ import annotations

import re

from routing.chat import Effort
from routing.models import Answer

SHORT_WORDS = 40
"""An answer with at least this many words is accepted, even if it apologises."""
UNFINISHED_WORDS = 12

_SENTENCE = re.compile(r"(?<=[.!?:])\s+|\n+")
_ALPHANUMERIC = re.compile(r"[\w\d]")
_SENTENCE_END = re.compile(r"[.!?:](?:\s|$)|\n")

# The opening of a refusal: "I'm sorry, but", "Unfortunately,", "As an AI model,".
_OPENING = (
    r"(?:(?:(?:i'?m|i am) )?(?:so |very |really )?(?:sorry|afraid)(?: that)?,? (?:but )?"
    r"|unfortunately,? |apologies,? (?:but )?|as an? (?:\w+ )?(?:ai|assistant|model)[^,]*, )?"
)
_CANNOT = r"i(?:'m| am)? (?:can'?t|cannot|can not|could not|couldn'?t|not able to|unable to|won'?t)"
_VISUAL_NOUN = (
    r"(?:text|words?|writing|images?|pictures?|screenshots?|screen|frames?|photos?|slides?|labels?|numbers?|values?)"
)
# "I can't help with that", "I'm unable to assist", "I won't answer that".
_REFUSAL = re.compile(rf"{_OPENING}{_CANNOT} (?:help|assist|comply|answer|provide|discuss|do that|fulfil+)\b")
# "I cannot read the text", "I'm unable to make out what is on the screen", "I can't see any image". But not "I can't
# see any error" or "any text", which may be the correct answer.
_CANNOT_READ = re.compile(
    rf"{_OPENING}{_CANNOT} (?:clearly |really |quite )?(?:read|make out|see|view|discern|tell|identify|recogni[sz]e) "
    rf"(?:(?:the|your|this|that|these|those) (?:\w+ ){{0,2}}?{_VISUAL_NOUN}\b"
    r"|(?:an|any|the) (?:image|picture|screenshot)s?\b|what(?:'s| is| it)\b|(?:it|this|that)\b)"
)
# "The text is too small to read", "The image is blurry", "The writing appears illegible".
_UNCLEAR = re.compile(
    rf"{_OPENING}(?:the|this|your) (?:\w+ ){{0,2}}?{_VISUAL_NOUN} (?:is|are|appears?|seems?)(?: to be)? "
    r"(?:too (?:small|blurr(?:y|ed)|dark|low[- ]res(?:olution)?|pixelated)|(?:very )?blurr(?:y|ed)"
    r"|illegible|unreadable|not (?:legible|readable))(?= to (?:read|make out|see|tell)\b| for me\b|[.!]?$)"
)
_QUALIFIER = re.compile(r"\b(?:but|however|although|though|except|otherwise|only|and)\b")
_APOLOGY = re.compile(
    r"(?:(?:i'?m|i am) )?(?:so |very )?sorry(?: about that)?[.!,]?|unfortunately[.,]?|i apologi[sz]e[.!]?"
)


def only_thought(answer: Answer, effort: Effort | None) -> bool:
    """Return whether thinking used up the output limit, so that no answer came.

    `effort` is the requested one. A server that thinks without being asked to reports its thinking tokens.
    """
    thought = effort not in (None, "none") or (answer.usage is not None and answer.usage.thinking_tokens > 0)
    return thought and answer.finish == "length" and not answer.tool_calls and not answer.text.strip()


def needs_stronger(answer: Answer, *, json: bool = False) -> str | None:
    """Return the reason for a stronger model to answer instead, or None if this answer suffices.

    "refused"    the finish reason is a refusal, or the first sentence of a short answer declines
    "empty"      no letter and no digit
    "truncated"  the limit was reached before one sentence ended
    "unreadable" the first sentence of a short answer calls the picture unreadable, and no later one reads it

    A call of a tool is an answer. Where `json` was requested any JSON is one: `{}` or `[]` may be the right result.
    """
    if answer.finish == "refusal":
        return "refused"
    if answer.tool_calls or answer.finish == "tool_calls":
        return None
    text = answer.text.strip()
    if json:
        return None if text else "empty"
    if not _ALPHANUMERIC.search(text):
        return "empty"
    if answer.finish == "length" and len(text.split()) < UNFINISHED_WORDS and not _SENTENCE_END.search(text):
        return "truncated"
    return _declined(text) if len(text.split()) <= SHORT_WORDS else None


def _declined(text: str) -> str | None:
    # Only the opening is certainly the model's own statement: later sentences may quote a screen or a user.
    plain_text = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").lower()
    sentences = [sentence.strip() for sentence in _SENTENCE.split(plain_text) if sentence.strip()]
    first, *rest = sentences[1:] if len(sentences) > 1 and _APOLOGY.fullmatch(sentences[0]) else sentences
    if refusal := _REFUSAL.match(first):
        return None if _QUALIFIER.search(first[refusal.end() :]) else "refused"
    unreadable = _CANNOT_READ.match(first) or _UNCLEAR.match(first)
    # A sentence that goes on, or two more after it, may hold the whole answer.
    if unreadable is None or _QUALIFIER.search(first[unreadable.end() :]) or len(rest) > 1:
        return None
    return "unreadable"
