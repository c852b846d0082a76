"""JSON Schema for the rules that come from the configured models: their vectors, and the speech models with prices."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from deployments.api.field_rules import JsonSchema, one_value, variant
from routing.catalogue import Catalogue, Model
from routing.models import Service

_SPEECH: tuple[tuple[Service, str], ...] = (("stt", "characters"), ("tts", "audio_ms"))
"""The services of speech, each with the unit by which it is not charged."""


def configured_rules(catalogue: Catalogue, embeddings: Iterable[str]) -> dict[str, JsonSchema]:
    """Return the rules of request schemas by their names; `embeddings` are the models that are configured for it."""
    models = [catalogue.get(name) for name in embeddings]
    return {
        "EmbeddingRequest": {"allOf": [_dimensions(models), _inputs(models)]},
        "SpeechUsageItem": {"anyOf": _speech(catalogue)},
    }


def _dimensions(models: list[Model]) -> JsonSchema:
    if any(model.dimensions is None for model in models):
        return {}
    sizes = sorted({size for model in models for size in (model.dimensions or 0, *model.dimension_choices)})
    return {
        "anyOf": [variant(["drop_params"], drop_params=one_value(True)), variant(dimensions={"enum": [*sizes, None]})]
    }


def _inputs(models: list[Model]) -> JsonSchema:
    if any(model.token_ids for model in models):
        return {}
    return variant(input={"type": ["string", "array"], "items": {"type": ["string", "object"]}})


def _speech(catalogue: Catalogue) -> list[JsonSchema]:
    return [
        variant(
            service=one_value(service),
            model=one_value(name),
            occurred_at={"minimum": _first_price_s(catalogue, name)},
            **{other: {"maximum": 0}},
        )
        for service, other in _SPEECH
        for name, model in catalogue.models.items()
        if service in model.services
    ]


def _first_price_s(catalogue: Catalogue, name: str) -> float:
    first = min(price.effective_from for price in catalogue.prices.rows if price.model == name)
    return dt.datetime(first.year, first.month, first.day, tzinfo=dt.UTC).timestamp()
