"""Reads by OCR the pictures that are sent of a change, and compares the words with those that were rendered."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cluster.lab.emulator.engines.ocr import OcrEngine
from room_agent.frames.encoder import encode
from room_agent.frames.i420 import Planes
from room_agent.frames.views import FrameViews, ImageTokenRule
from room_agent.video.frame_gate import FrameGate, GateDecision
from room_agent.video.view_encoder import PART_QUALITY, ViewEncoder, cut
from routing.catalogue import load_catalogue
from tests.benchmarks.frames.codecs import Transport, transport
from tests.benchmarks.frames.edits import CHANGED
from tests.benchmarks.frames.layouts import scene
from tests.benchmarks.frames.scene import RenderedScene, Size, TextElement
from tests.benchmarks.frames.themes import TUNED_PALETTES, font

SIZES: tuple[Size, ...] = ((1920, 1080), (2560, 1440), (3840, 2160), (5120, 1440))
EDITS = ("line added", "word", "one cell", "message", "dialog", "toast", "line deleted", "scroll", "page", "window")
"""The edits whose words are read; most of those that a session sends change a small part."""
SCREENS = ("code", "terminal", "document", "sheet", "chat", "dashboard")
MODELS = ("gpt-6-luna", "claude-haiku-5-5", "gemini-3.5-flash-lite", "gpt-4o")
"""One model of each rule by which vendors count the tokens of an image."""
SCENES = frozenset(("scroll", "page", "window"))
TODAY_PX = 1_024
_TEXT_PX = 12
_WORD = re.compile(r"[a-z]{3,}|\d[\d,.]{2,}")
_LETTERS = re.compile(r"[^a-z0-9,.]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadChange:
    """A change as it was sent by one rule: the words read of those shown, and the tokens of its pictures."""

    edit: str
    size_px: Size
    model: str
    shown: int
    read_today: int
    read: int
    tokens_today: int
    tokens: int
    parts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedChange:
    """A change in a received picture: the gate's decision on it, and the words that it brought."""

    edit: str
    size_px: Size
    planes: Planes
    decision: GateDecision
    words: tuple[str, ...]


def changes(seed: int, size_px: Size, rounds: int) -> Iterator[RenderedChange]:
    """Yield changes of text of 12 px, received through VP8 at the bit rate of a screen share of this size."""
    rng = random.Random(f"{seed} {size_px}")
    kbps = round(2_500 * size_px[0] * size_px[1] / (1920 * 1080))
    for number in range(rounds):
        edit = EDITS[number % len(EDITS)]
        before, after = _edited(edit, size_px, rng)
        connection = transport("vp8", kbps, size_px, rng)
        gate = FrameGate()
        for at_s in range(3):
            gate.offer(_shown(connection, before), float(at_s))
        decision = gate.offer(planes := _shown(connection, after), 3.0)
        for at_s in range(4, 14):
            if decision.keep:
                break
            decision = gate.offer(planes := _shown(connection, after), float(at_s))
        words = _new_words(before, after)
        if decision.keep and words:
            yield RenderedChange(edit=edit, size_px=size_px, planes=planes, decision=decision, words=words)


def read(change: RenderedChange, ocr: OcrEngine, encoders: dict[str, ViewEncoder]) -> Iterator[ReadChange]:
    """Yield how a change reads by each model's rule. `encoders` keep the models' budgets over the changes."""
    today = encode(change.planes, long_side_px=TODAY_PX)
    read_today = _recalled(change.words, _text(ocr, [today.jpeg]))
    for model, encoder in encoders.items():
        views = encoder.choose(change.planes, change.decision.judgement)
        yield ReadChange(
            edit=change.edit,
            size_px=change.size_px,
            model=model,
            shown=len(change.words),
            read_today=read_today,
            read=_recalled(change.words, _text(ocr, _pictures(change.planes, views))),
            tokens_today=rule_of(model).count(today.width_px, today.height_px),
            tokens=views.tokens,
            parts=len(views.crops),
        )


def recall(reads: Sequence[ReadChange]) -> float:
    """Return the share of the words shown that were read as sent; 1 where none was shown."""
    shown = sum(one.shown for one in reads)
    return sum(one.read for one in reads) / shown if shown else 1.0


def recall_today(reads: Sequence[ReadChange]) -> float:
    """Return the share that is read of the whole screen at `TODAY_PX`; 1 where no word was shown."""
    shown = sum(one.shown for one in reads)
    return sum(one.read_today for one in reads) / shown if shown else 1.0


def rule_of(model: str) -> ImageTokenRule:
    """Return the rule by which a model's vendor counts the tokens of an image."""
    rule = load_catalogue().get(model).image_tokens
    assert rule is not None
    return rule


def _edited(edit: str, size_px: Size, rng: random.Random) -> tuple[RenderedScene, RenderedScene]:
    while True:
        before = scene(rng.choice(SCREENS), rng, TUNED_PALETTES, size_px=size_px, scale=1.0)
        after = CHANGED[edit](before, rng)
        if after is not None and after.elements != before.elements:
            return _small(before), _small(after)


def _small(shown: RenderedScene) -> RenderedScene:
    """Return the screen with all its prose in letters of 12 px."""
    return shown.with_elements(
        tuple(
            replace(element, side_px=_TEXT_PX) if isinstance(element, TextElement) else element
            for element in shown.elements
        )
    )


def _shown(connection: Transport, shown: RenderedScene) -> Planes:
    picture = shown.planes()
    return [connection.send(picture) for _ in range(8)][-1]


def _new_words(before: RenderedScene, after: RenderedScene) -> tuple[str, ...]:
    """Return the words of the texts that are new, and whole on the screen; of an edited text, its new words."""
    known = {element for element in before.elements if isinstance(element, TextElement)}
    old = {word for element in known for word in _WORD.findall(element.text.lower())}
    texts = [text for text in after.elements if isinstance(text, TextElement) and text not in known]
    visible = [text for text in texts if _is_visible(text, after.size_px)]
    words = [word for text in visible for word in _WORD.findall(text.text.lower())]
    new = [word for word in words if word not in old]
    return tuple(new if len(texts) <= 3 else words)


def _is_visible(text: TextElement, size_px: Size) -> bool:
    right = text.at_px[0] + font(text.face, text.side_px).getlength(text.text)
    return right < size_px[0] and text.at_px[1] + text.side_px < size_px[1]


def _pictures(planes: Planes, views: FrameViews) -> list[bytes]:
    if not views.crops:
        return [encode(planes, long_side_px=views.whole_px).jpeg]
    return [
        encode(cut(planes, crop.box_px), long_side_px=crop.long_side_px, quality=PART_QUALITY).jpeg
        for crop in views.crops
    ]


def _text(ocr: OcrEngine, jpegs: Sequence[bytes]) -> str:
    lines = [line.text for jpeg in jpegs for line in ocr.read(jpeg)]
    return _LETTERS.sub("", " ".join(lines).lower())


def _recalled(words: Sequence[str], text: str) -> int:
    return sum(_LETTERS.sub("", word) in text for word in words)
