"""Prices frames with the shipped tables at the first models of the tiers. No vendor is called."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from deployments.common.settings import VisionSettings
from routing.capabilities import effort_of
from routing.catalogue import load_catalogue
from routing.chat import ChatOptions, Image, Message
from routing.estimates import text_tokens
from routing.models import Usage
from tests.benchmarks.answer_costs import FRAME_OUTPUT_TOKENS, LIKELY_THINKING_TOKENS
from tests.benchmarks.frames.scene import Size

CHEAP, STRONG = "gpt-6-luna", "gpt-6.1-terra"
"""The first models of `vision` in serve_config.yaml."""
STRONG_SHARE = 0.15
FULL_PX, SENT_PX = (1920, 1080), (1024, 576)


def frame_usd(model_name: str, sizes_px: Sequence[Size]) -> float:
    """Return the cost in dollars of one description of images of these sizes."""
    catalogue = load_catalogue()
    model = catalogue.get(model_name)
    prompt = Message(role="user", content=(VisionSettings(simple=("-",), complex=("-",)).prompt,))
    images = sum(model.tokens_of(Image(data=b"", width_px=width, height_px=height)) for width, height in sizes_px)
    thinking = LIKELY_THINKING_TOKENS[effort_of(model.capabilities, ChatOptions()) or "none"]
    usage = Usage(input_tokens=text_tokens([prompt]) + images, output_tokens=FRAME_OUTPUT_TOKENS + thinking)
    return catalogue.price(model_name, dt.date(2026, 11, 30)).cost_nanousd(usage) / 1e9


def routed_usd(sizes_px: Sequence[Size]) -> float:
    """Return the mean cost in dollars of a frame of which the hardest go to the strong model."""
    return (1 - STRONG_SHARE) * frame_usd(CHEAP, sizes_px) + STRONG_SHARE * frame_usd(STRONG, sizes_px)


def hour_usd(sent_an_hour: float) -> dict[str, float]:
    """Return the cost of an hour: each frame to the strong model, each frame routed, and the frames that were sent."""
    return {
        "every frame, strong model": 3_600 * frame_usd(STRONG, [FULL_PX]),
        "every frame, routed": 3_600 * routed_usd([FULL_PX]),
        "frame gate, routed": sent_an_hour * routed_usd([SENT_PX]),
    }
