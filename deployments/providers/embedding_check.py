"""Tells a vendor's sound vectors from broken ones. Knows no vendor."""

from __future__ import annotations

import math
from collections.abc import Sequence

from routing.catalogue import Model
from routing.errors import ProviderError
from routing.models import EmbeddingResult


def check_vectors(model: Model, embeddings: EmbeddingResult, wanted: int) -> None:
    """Raise ProviderError unless there are `wanted` vectors of the model's size, of finite numbers and not all zero.

    A wrong one would be found nowhere or everywhere, and its tenant would never know why.
    """
    if len(embeddings.vectors) != wanted:
        raise ProviderError(f"{model.name} answered with another number of vectors.", phase="parse")
    sizes = {len(vector) for vector in embeddings.vectors}
    if sizes != {model.dimensions} if model.dimensions else 0 in sizes:
        raise ProviderError(f"{model.name} answered with vectors of another size.", phase="parse")
    if not all(map(_sound, embeddings.vectors)):
        raise ProviderError(f"{model.name} answered with vectors that cannot be searched with.", phase="parse")


def _sound(vector: Sequence[float]) -> bool:
    # JSON's true is Python's one, and a sum takes it for that.
    if not set(map(type, vector)) <= {int, float} or not any(vector):
        return False
    # One number that is none makes their sum none, in a tenth of the time that it takes to ask each.
    try:
        return math.isfinite(sum(vector))
    except OverflowError:
        return False
