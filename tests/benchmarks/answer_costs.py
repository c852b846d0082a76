"""Compute the cost of a frame and of a turn with each model, its thinking included, from the shipped tables.

`python -m tests.benchmarks.answer_costs` prints the table of docs/measurements.md. No vendor is called.
"""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import dataclass

from deployments.common.settings import VisionSettings
from routing.capabilities import effort_of, thinking_tokens
from routing.catalogue import Catalogue, Model, load_catalogue
from routing.chat import ChatOptions, Effort, Image, Message
from routing.estimates import text_tokens
from routing.models import Usage

FRAME_OUTPUT_TOKENS, TURN_INPUT_TOKENS, TURN_OUTPUT_TOKENS = 150, 3_000, 150
LIKELY_THINKING_TOKENS: dict[Effort, int] = {"none": 0, "minimal": 0, "low": 120}
"""The tokens that a short request likely takes at the lowest levels. No vendor publishes them. `low` is the mean of 122
that a public measurement found for gpt-6.1-sol (github.com/joonlab/gpt-6.1-sol-benchmark, read 2026-11-30)."""


@dataclass(frozen=True, slots=True)
class AnswerCost:
    """The cost of one answer in nano-dollars: with likely thinking, and with all that is reserved for it."""

    likely_nanousd: int
    most_nanousd: int


@dataclass(frozen=True, slots=True)
class ModelCosts:
    """A model's costs at its lowest level of thinking."""

    model: Model
    effort: Effort | None
    image_tokens: int
    frame: AnswerCost
    turn: AnswerCost


def model_costs(catalogue: Catalogue, model: Model, day: dt.date) -> ModelCosts:
    """Return the costs of a frame as the agent sends it, and of a turn of 3,000 tokens without an image."""
    effort = effort_of(model.capabilities, ChatOptions())
    image_tokens = model.tokens_of(Image(data=b""))
    prompt = Message(role="user", content=(VisionSettings(simple=("-",), complex=("-",)).prompt,))

    def cost(input_tokens: int, output_tokens: int) -> AnswerCost:
        likely, most = LIKELY_THINKING_TOKENS[effort or "none"], thinking_tokens(model.capabilities, effort)
        price = catalogue.price(model.name, day)
        return AnswerCost(
            *(
                price.cost_nanousd(Usage(input_tokens=input_tokens, output_tokens=output_tokens + thinking))
                for thinking in (likely, most)
            )
        )

    return ModelCosts(
        model,
        effort,
        image_tokens,
        cost(text_tokens([prompt]) + image_tokens, FRAME_OUTPUT_TOKENS),
        cost(TURN_INPUT_TOKENS, TURN_OUTPUT_TOKENS),
    )


def all_costs(catalogue: Catalogue, day: dt.date) -> list[ModelCosts]:
    """Return the costs of every model that describes frames on `day`, the cheapest first."""
    models = [model for model in catalogue.models.values() if "vision" in model.services and not model.retired(day)]
    return sorted(
        (model_costs(catalogue, model, day) for model in models), key=lambda costs: costs.frame.likely_nanousd
    )


def main() -> int:
    """Print the table in Markdown."""
    print("| model | effort | image tokens | USD per 1,000 frames | USD per 1,000 turns | retires on |")
    print("|---|---|---|---|---|---|")
    for costs in all_costs(load_catalogue(), dt.datetime.now(dt.UTC).date()):
        model = costs.model
        cells = (
            model.name,
            costs.effort or "does not think",
            f"{costs.image_tokens:,}",
            _usd_per_thousand(costs.frame),
            _usd_per_thousand(costs.turn),
            model.retires_on or "",
        )
        print("| " + " | ".join(map(str, cells)) + " |")
    return 0


def _usd_per_thousand(cost: AnswerCost) -> str:
    likely, most = (nanousd / 1_000_000 for nanousd in (cost.likely_nanousd, cost.most_nanousd))
    return f"{likely:.2f}" if likely == most else f"{likely:.2f} (at most {most:.2f})"


if __name__ == "__main__":
    sys.exit(main())
