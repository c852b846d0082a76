"""Measure the pictures of a turn: how many join it, what they cost, and whether the answer can be read from them.

Run `python -m tests.benchmarks.bench_sight`. Each labelled question of understanding/questions.jsonl is asked in a
room whose screens of 1920 x 1080 show the labelled lines, in text of 14, 20 or 32 px in turns. The pictures pass the
agent's own choice of size, its encoder and its prompt. No model is called: OCR stands for it, and is right if it reads
the expected answer in a picture of the turn. The descriptions of the screens hold all lines too, but do not count.
The price is that of the input, by the shipped tables.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import statistics
import time
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from cluster.lab.emulator.engines.ocr import OcrEngine
from room_agent.context import pictures
from room_agent.context.context import ContextBuilder
from room_agent.context.prompt import AgentManner, Turn
from room_agent.context.retrieval import KnowledgeRetrieval
from room_agent.core.models import FrameDescribed, FrameKept, KeptFrame, SharedTrack
from room_agent.core.router_client import Description, RouterClient
from room_agent.frames.encoder import Encoded, encode
from room_agent.frames.i420 import Planes
from room_agent.video.view_encoder import ViewEncoder
from routing.catalogue import load_catalogue
from routing.chat import Image as ModelImage
from routing.chat import Message
from routing.estimates import text_tokens
from routing.models import Passage, Usage
from tests.support.screens import planes_of

QUESTIONS = Path(__file__).parent / "understanding" / "questions.jsonl"
SIZE_PX = (1_920, 1_080)
TEXT_PX = (14, 20, 32)
USUAL_PX = 1_024
SHARES = 3
NOW_S = 1_000.0
MODELS = ("gpt-6-luna", "gpt-6.1-terra")
"""The first models of `llm` in serve_config.yaml."""
SEARCH_MODEL = "voyage-multimodal-3.5"
FIRST_TOKEN_MS_PER_TOKEN = (0.04, 0.06)
"""gettalkative.com, 2025-05-02: GPT-4o's first token comes 20 to 30 ms later for each 500 tokens of a prompt."""
FIGURES = (
    "pictures a turn about the screen (of all)",
    "their tokens",
    "input tokens",
    f"nano-dollars a turn, {', '.join(MODELS)}",
    "first token later, ms",
)
TIMED_TURNS = 30
CATALOGUE = load_catalogue()
TODAY = dt.date(2026, 11, 30)


@dataclass(frozen=True, slots=True)
class LabelledQuestion:
    """A question, the lines of the screen at its time, and the part of them that answers it, if any does."""

    number: int
    language: str
    text: str
    about_screen: bool
    screen: tuple[str, ...]
    answer: str
    sharer: str


@dataclass(frozen=True, slots=True)
class MeasuredTurn:
    """The pictures of one turn, and whether the asked screen is among them and its answer read from one."""

    question: LabelledQuestion
    images: tuple[Encoded, ...]
    text_tokens: int
    has_screen: bool
    is_read: bool

    def picture_tokens(self, model: str) -> int:
        sizes = (ModelImage(data=b"", width_px=one.width_px, height_px=one.height_px) for one in self.images)
        return sum(CATALOGUE.get(model).tokens_of(size) for size in sizes)

    def cost_nanousd(self, model: str) -> int:
        usage = Usage(input_tokens=self.text_tokens + self.picture_tokens(model))
        return CATALOGUE.price(model, TODAY).cost_nanousd(usage)


class NoKnowledge(KnowledgeRetrieval):
    """A search that finds nothing at once."""

    def __init__(self) -> None:
        super().__init__(RouterClient.__new__(RouterClient), time.monotonic)

    async def _run(self, query: str, asker: str) -> tuple[Passage, ...]:
        return ()


def load_questions() -> list[LabelledQuestion]:
    rows = [json.loads(line) for line in QUESTIONS.read_text("utf-8").splitlines()]
    return [
        LabelledQuestion(
            number,
            row["language"],
            row["text"],
            row["about_screen"],
            tuple(row["screen"]),
            row["answer"],
            row["sharer"],
        )
        for number, row in enumerate(rows)
    ]


@cache
def screen(number: int, lines: tuple[str, ...]) -> Planes:
    """Return a screen that shows the lines."""
    image, size_px = Image.new("RGB", SIZE_PX, "white"), TEXT_PX[number % len(TEXT_PX)]
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size_px)
    for row, line in enumerate(lines):
        draw.text((160, 140 + 3 * size_px * row), line, fill="black", font=font)
    return planes_of(image)


@cache
def encoded(number: int, lines: tuple[str, ...], longest_px: int) -> Encoded:
    """Return the screen as the agent sends it with a turn."""
    planes = screen(number, lines)
    return encode(planes, long_side_px=ViewEncoder(USUAL_PX, None).turn_long_side_px(planes, longest_px))


def room_of(shown: Sequence[LabelledQuestion]) -> ContextBuilder:
    """Return the context of a room with the screens of these questions; the last one changed last."""
    builder = ContextBuilder(NoKnowledge(), AgentManner(name="Rayroom", spoken=True), lambda: NOW_S)
    for at_s, one in enumerate(shown, 900):
        track = SharedTrack(sid=str(one.number), source="screen_share", shared_by=one.sharer, identity=str(one.number))
        kept = frame_of(encoded(one.number, one.screen, USUAL_PX), at_s)
        text = f"The screen shows {', '.join(one.screen)}."
        answer = Description(description=text, model="m", tier="simple", cost_nanousd=1, simulated=True)
        builder.on_frame_kept(FrameKept(track=track, frame=kept))
        builder.on_frame_described(FrameDescribed(track=track, frame=kept, answer=answer, took_s=1.0))
    by_track = {str(one.number): one for one in shown}

    async def current_frame(track: str, longest_px: int) -> KeptFrame:
        one = by_track[track]
        return frame_of(encoded(one.number, one.screen, longest_px), NOW_S)

    builder.current_frame = current_frame
    return builder


def frame_of(picture: Encoded, at_s: float) -> KeptFrame:
    size_px = (picture.width_px, picture.height_px)
    return KeptFrame(jpeg=picture.jpeg, headers={}, why="new", captured_at_s=at_s, size_px=size_px)


def shown_with(
    questions: Sequence[LabelledQuestion], question: LabelledQuestion, shares: int
) -> list[LabelledQuestion]:
    """Return the questions whose screens are shared at once: the asked one's changes first, second or last in turns."""
    after = [*questions[question.number + 1 :], *questions[: question.number]]
    named = {one.sharer: one for one in after if one.language == question.language and one.sharer != question.sharer}
    shown = list(named.values())[: shares - 1]
    shown.insert(question.number % shares, question)
    return shown


def measure(questions: Sequence[LabelledQuestion], shares: int, ocr: OcrEngine) -> Iterator[MeasuredTurn]:
    """Yield a turn for each question in a room with so many shared screens."""
    for question in questions:
        shown = shown_with(questions, question, shares)
        turn = asyncio.run(room_of(shown).turn(question.text, "Zoe", "zoe-1"))
        images = {image.jpeg: (one, image) for one in shown for image in sizes_of(one)}
        sent = [images[jpeg] for jpeg in turn.jpegs]
        yield MeasuredTurn(
            question,
            tuple(image for _, image in sent),
            tokens_of(turn),
            question in [one for one, _ in sent],
            question.about_screen and any(reads(ocr, image.jpeg, question.answer) for _, image in sent),
        )


def sizes_of(question: LabelledQuestion) -> list[Encoded]:
    """Return the pictures that a turn may have of the question's screen."""
    sides = {USUAL_PX, pictures.ALONE_PX, pictures.OF_SEVERAL_PX}
    return [encoded(question.number, question.screen, side) for side in sides]


def tokens_of(turn: Turn) -> int:
    texts = (turn.instructions, turn.key_note, turn.context, turn.question)
    return text_tokens([Message(role="user", content=(text,)) for text in texts])


def reads(ocr: OcrEngine, jpeg: bytes, answer: str) -> bool:
    """Return whether the answer stands in a picture, but for accents and signs."""
    return bare(answer) in bare("".join(line.text for line in ocr.read(jpeg)))


def bare(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFKD", text.casefold()) if char.isalnum())


def search_nanousd(image_px: int) -> int:
    """Return the price of an embedded question of 20 tokens, with a picture of so many pixels."""
    usage = Usage(input_tokens=20, image_px=image_px)
    return CATALOGUE.price(SEARCH_MODEL, TODAY).cost_nanousd(usage)


def print_row(name: str, turns: Sequence[MeasuredTurn]) -> None:
    about = [turn for turn in turns if turn.question.about_screen]
    counts = [statistics.fmean(len(turn.images) for turn in part) for part in (about, turns)]
    tokens = statistics.fmean(turn.picture_tokens(MODELS[0]) for turn in turns)
    inputs = statistics.fmean(turn.text_tokens for turn in turns) + tokens
    costs = [round(statistics.fmean(turn.cost_nanousd(model) for turn in turns)) for model in MODELS]
    later = " to ".join(f"{tokens * ms:.0f}" for ms in FIRST_TOKEN_MS_PER_TOKEN)
    cells = (
        name,
        f"{sum(turn.has_screen for turn in about)} of {len(about)}",
        f"{sum(turn.is_read for turn in about)}",
        " ".join(read_in(about, language) for language in sorted({turn.question.language for turn in about})),
        f"{counts[0]:.2f} ({counts[1]:.2f})",
        f"{tokens:,.0f}",
        f"{inputs:,.0f}",
        ", ".join(f"{cost:,}" for cost in costs),
        later,
    )
    print("| " + " | ".join(cells) + " |", flush=True)


def read_in(about: Sequence[MeasuredTurn], language: str) -> str:
    return f"{language} {sum(turn.is_read for turn in about if turn.question.language == language)}"


async def time_turns(questions: Sequence[LabelledQuestion]) -> None:
    """Print the median time of a turn's own work with no, one and three pictures that are encoded anew."""
    for shares in (0, 1, SHARES):
        times_ms, sent_bytes = [], []
        for question in questions[:TIMED_TURNS]:
            shown = shown_with(questions, question, shares) if shares else []
            builder, planes = room_of(shown), {str(one.number): screen(one.number, one.screen) for one in shown}

            async def current_frame(track: str, longest_px: int, planes: dict[str, Planes] = planes) -> KeptFrame:
                return await asyncio.to_thread(encode_now, planes[track], longest_px)

            builder.current_frame = current_frame
            begun_s = time.perf_counter()
            body = json.dumps((await builder.turn(question.text, "Zoe", "zoe-1")).messages())
            times_ms.append(1_000 * (time.perf_counter() - begun_s))
            sent_bytes.append(len(body))
        middle_ms, middle_bytes = statistics.median(times_ms), statistics.median(sent_bytes)
        print(f"{shares} pictures: turn {middle_ms:.1f} ms, body {middle_bytes:,.0f} bytes")


def encode_now(planes: Planes, longest_px: int) -> KeptFrame:
    return frame_of(
        encode(planes, long_side_px=ViewEncoder(USUAL_PX, None).turn_long_side_px(planes, longest_px)), NOW_S
    )


def main() -> None:
    questions, ocr = load_questions(), OcrEngine()
    print(f"| shared | asked screen sent | answer read | by language | {' | '.join(FIGURES)} |")
    print("|---|---|---|---|" + len(FIGURES) * "---|")
    print_row("one share", list(measure(questions, 1, ocr)))
    for side_px in (pictures.ALONE_PX, pictures.OF_SEVERAL_PX, USUAL_PX):
        pictures.OF_SEVERAL_PX = side_px
        print_row(f"three shares of {side_px:,} px", list(measure(questions, SHARES, ocr)))
    asyncio.run(time_turns(questions))
    for px in (0, USUAL_PX * 576):
        print(f"search with {px:,} px: {search_nanousd(px):,} nano-dollars")


if __name__ == "__main__":
    main()
