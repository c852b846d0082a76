"""The inputs of an embedding request are split, in order, into calls of bounded size."""

from __future__ import annotations

from collections.abc import Iterable

from deployments.gateway.embedding_batches import batches
from routing.chat import Image, Message


def texts(*words: str) -> list[Message]:
    return [Message(role="user", content=(word,)) for word in words]


def sizes(groups: Iterable[tuple[Message, ...]]) -> list[int]:
    return [len(group) for group in groups]


def test_inputs_are_split_in_order_at_the_most_inputs_of_a_call() -> None:
    inputs = texts(*map(str, range(200)))
    groups = list(batches(inputs))
    assert sizes(groups) == [96, 96, 8] and [message for group in groups for message in group] == inputs
    assert list(batches([])) == []


def test_inputs_are_split_at_the_most_tokens_of_a_call() -> None:
    # A text of 90,000 characters counts as 30,008 tokens.
    inputs = [*texts("x" * 90_000, "x" * 90_000, "x" * 90_000, "x"), Message(role="user", token_ids=(7,) * 99_990)]
    assert sizes(batches(inputs, most_tokens=70_000)) == [2, 2, 1]


def test_an_image_counts_by_its_pixels() -> None:
    image = Image(data=b"", width_px=2_000, height_px=2_000)
    inputs = [Message(role="user", content=(image,))] * 3
    assert sizes(batches(inputs, most_tokens=15_000)) == [2, 1]
