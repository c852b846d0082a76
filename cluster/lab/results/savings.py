"""Compute the cost of a tenant's frames without each of the three savings, in integer nano-dollars."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from deployments.common.settings import VisionSettings
from room_agent.frames.i420 import fitted
from routing.catalogue import Catalogue
from routing.chat import Image, Message
from routing.estimates import text_tokens
from routing.prices import PICO_PER_NANO, Price, round_half_even

PUBLISHED_PX = (1280, 720)
"""The size of a screen that this project's publishers share; a run with a known size passes that instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameCounts:
    """One tenant's frames: seen, kept because they changed, and answered."""

    seen: int
    kept: int
    answered: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StrongFrame:
    """The charge of one frame at the strong model: its price, and its tokens at full size and downscaled.

    `answer_tokens` is a mean, so it may be a fraction; it is None without answers, and then no factor is known.
    """

    model: str
    price: Price
    full_tokens: int
    small_tokens: int
    answer_tokens: float | None

    def cost_nanousd(self, frames: int, input_tokens: int) -> int | None:
        """Return the cost of this many frames, rounded once; zero frames cost nothing, even without answers."""
        if not frames:
            return 0
        if self.answer_tokens is None:
            return None
        rates = self.price.rates(input_tokens)
        input_pico = frames * input_tokens * rates.pico("input_pico", self.model)
        output_pico = round(frames * self.answer_tokens) * rates.pico("output_pico", self.model)
        return round_half_even(input_pico + output_pico, PICO_PER_NANO)


def strong_frame(
    catalogue: Catalogue,
    vision: VisionSettings,
    day: dt.date,
    *,
    long_side_px: int,
    answer_tokens: float | None,
) -> StrongFrame:
    """Return the charge of a frame at the first model of the strong tier on `day`; raises ConfigurationError."""
    model = catalogue.get(vision.complex[0])
    prompt_tokens = text_tokens([Message(role="user", content=(vision.prompt,))])
    small_px = fitted(*PUBLISHED_PX, long_side_px // 2 * 2)
    return StrongFrame(
        model=model.name,
        price=catalogue.price(model.name, day),
        full_tokens=prompt_tokens + model.tokens_of(_screen(PUBLISHED_PX)),
        small_tokens=prompt_tokens + model.tokens_of(_screen(small_px)),
        answer_tokens=answer_tokens,
    )


def _screen(sides_px: tuple[int, int]) -> Image:
    return Image(data=b"", width_px=sides_px[0], height_px=sides_px[1])


def mean_tokens(output_tokens: int, answers: int) -> float | None:
    """Return the mean length of an answer in tokens, or None without answers."""
    return output_tokens / answers if answers else None


def tenant_row(
    tenant: str, room_hours: float, frames: FrameCounts, cost_nanousd: int | None, strong: StrongFrame
) -> dict[str, Any]:
    """Return a row of record.TENANTS: the actual cost beside the hypothetical ones."""
    return {
        "tenant": tenant,
        "room_hours": room_hours,
        "seen": frames.seen,
        "kept": frames.kept,
        "answered": frames.answered,
        "cost_nanousd": cost_nanousd,
        "every_frame_nanousd": strong.cost_nanousd(frames.seen, strong.full_tokens),
        "changed_only_nanousd": strong.cost_nanousd(frames.kept, strong.full_tokens),
        "changed_small_nanousd": strong.cost_nanousd(frames.kept, strong.small_tokens),
    }


def price_note(strong: StrongFrame) -> str:
    """Return a sentence on the prices of the comparisons and the source of the answer length."""
    if strong.answer_tokens is None:
        return f"The comparisons with {strong.model} are not known: no answer was seen to take its length from."
    return (
        f"The comparisons are priced as {strong.price.version}: {strong.full_tokens} input tokens for a frame at full"
        f" size, {strong.small_tokens} for a downscaled one, and {strong.answer_tokens:.1f} output tokens,"
        " the mean of the answers of this run."
    )
