"""The choice of models for an embedding request, and its split into calls of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from routing.catalogue import Catalogue, Model
from routing.chat import Message
from routing.errors import BadInput, UnsupportedOption
from routing.estimates import text_tokens
from routing.policy import Decision

MOST_INPUTS = 96
"""A reply with so many vectors of 4,096 numbers is below the 4 MB that a Serve handle may carry."""
MOST_TOKENS = 100_000
"""Voyage takes 120,000 to 1 million tokens in all inputs of a call, by model; its API page, read 2026-11-30."""
PX_A_TOKEN = 560
"""How Voyage counts images in that total; its pricing page, read 2026-11-22."""


def with_token_models(decision: Decision, catalogue: Catalogue, inputs: Sequence[Message]) -> Decision:
    """Return the decision with only the targets that take token ids, if an input has them; raises BadInput."""
    if not any(message.token_ids for message in inputs):
        return decision
    targets = _targets(decision, catalogue, lambda model: model.token_ids)
    if not targets:
        # LangChain sends the ids of OpenAI's tokenizer unless it is told not to.
        raise BadInput(
            f"{decision.targets[0]} embeds texts, not token ids; LangChain sends texts with"
            " check_embedding_ctx_length=False.",
            "input",
        )
    return replace(decision, targets=targets)


def with_dimensions(decision: Decision, catalogue: Catalogue, dimensions: int | None) -> Decision:
    """Return the decision with only the targets that make vectors of this size; raises UnsupportedOption."""
    if dimensions is None:
        return decision
    targets = _targets(decision, catalogue, lambda model: has_dimensions(model, dimensions))
    if not targets:
        model = catalogue.get(decision.targets[0])
        sizes = ", ".join(map(str, sorted({model.dimensions or 0, *model.dimension_choices})))
        raise UnsupportedOption(f"{model.name} does not support these dimensions; it has {sizes}.", "dimensions")
    return replace(decision, targets=targets)


def has_dimensions(model: Model, dimensions: int) -> bool:
    """Return whether a model may be asked for vectors of this size; an own model of unknown size may."""
    return model.dimensions is None or dimensions == model.dimensions or dimensions in model.dimension_choices


def batches(
    inputs: Sequence[Message], most_inputs: int = MOST_INPUTS, most_tokens: int = MOST_TOKENS
) -> Iterator[tuple[Message, ...]]:
    """Yield the inputs in order, in groups that one call takes. An input beyond the limit is a group of its own."""
    group, tokens = list[Message](), 0
    for message in inputs:
        cost = _tokens(message)
        if group and (len(group) == most_inputs or tokens + cost > most_tokens):
            yield tuple(group)
            group, tokens = [], 0
        group.append(message)
        tokens += cost
    if group:
        yield tuple(group)


def _tokens(message: Message) -> int:
    return text_tokens((message,)) + sum(image.width_px * image.height_px // PX_A_TOKEN for image in message.images)


def _targets(decision: Decision, catalogue: Catalogue, accepts: Callable[[Model], bool]) -> tuple[str, ...]:
    return tuple(name for name in decision.targets if accepts(catalogue.get(name)))
