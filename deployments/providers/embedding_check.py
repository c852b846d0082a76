"""Validation of the vectors that an embedding vendor returns."""

from __future__ import annotations

import math
from collections.abc import Sequence

from routing.catalogue import Model
from routing.errors import ProviderError
from routing.models import EmbeddingResult


def check_vectors(model: Model, embeddings: EmbeddingResult, wanted: int, dimensions: int | None = None) -> None:
    """Raise ProviderError unless there are `wanted` vectors of the right size, of finite numbers and not all zero.

    `dimensions` is the requested size, None for the model's own. A broken vector would match nothing or everything in a
    search, without an error.
    """
    if len(embeddings.vectors) != wanted:
        raise ProviderError(f"{model.name} answered with another number of vectors.", phase="parse")
    sizes = {len(vector) for vector in embeddings.vectors}
    size = dimensions or model.dimensions
    if sizes != {size} if size else 0 in sizes:
        raise ProviderError(f"{model.name} answered with vectors of another size.", phase="parse")
    if not all(map(_sound, embeddings.vectors)):
        raise ProviderError(f"{model.name} answered with vectors that cannot be searched with.", phase="parse")


def _sound(vector: Sequence[float]) -> bool:
    # JSON's `true` becomes a bool, which a sum would count as one.
    if not set(map(type, vector)) <= {int, float} or not any(vector):
        return False
    # One NaN or infinity makes the sum not finite; this takes a tenth of the time of a check of each number.
    try:
        return math.isfinite(sum(vector))
    except OverflowError:
        return False
