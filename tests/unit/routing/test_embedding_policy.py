"""An embedding request goes to models that take its inputs and make its vectors."""

from __future__ import annotations

from dataclasses import replace

import pytest

from routing.catalogue import Catalogue, Model, load_catalogue
from routing.chat import Message
from routing.errors import BadInput, UnsupportedOption
from routing.models import Tier
from routing.policy import Decision, with_dimensions, with_token_models

SHIPPED = load_catalogue()
OWN = Model(
    name="own", vendor="own", services=("embeddings",), tier=Tier.SIMPLE, source="a test", token_ids=True, dimensions=64
)
UNSIZED = Model(name="unsized", vendor="own", services=("embeddings",), tier=Tier.SIMPLE, source="a test")
CATALOGUE = Catalogue(SHIPPED.models | {"own": OWN, "unsized": UNSIZED}, SHIPPED.prices)
DECISION = Decision(tier=Tier.SIMPLE, targets=("voyage-4", "own"), score=0, threshold=1, reasons=())
IDS = (Message(role="user", token_ids=(1, 2, 3)),)


def texts(*words: str) -> list[Message]:
    return [Message(role="user", content=(word,)) for word in words]


def test_token_ids_go_to_models_that_take_them() -> None:
    assert with_token_models(DECISION, CATALOGUE, IDS).targets == ("own",)
    assert with_token_models(DECISION, CATALOGUE, texts("Hello")) == DECISION
    with pytest.raises(BadInput, match="voyage-4 embeds texts, not token ids") as refused:
        with_token_models(replace(DECISION, targets=("voyage-4",)), CATALOGUE, IDS)
    assert refused.value.param == "input"


@pytest.mark.parametrize(
    ("dimensions", "targets"),
    [(None, ("voyage-4", "own")), (1_024, ("voyage-4",)), (256, ("voyage-4",)), (2_048, ("voyage-4",)), (64, ("own",))],
)
def test_vectors_of_a_size_come_from_models_that_make_it(dimensions: int | None, targets: tuple[str, ...]) -> None:
    decision, size = with_dimensions(DECISION, CATALOGUE, dimensions)
    assert (decision.targets, size) == (targets, dimensions)


def test_a_size_that_no_model_makes_is_refused_with_the_sizes_it_has() -> None:
    with pytest.raises(UnsupportedOption, match=r"voyage-4 does not support .* 256, 512, 1024, 2048") as refused:
        with_dimensions(DECISION, CATALOGUE, 100)
    assert refused.value.param == "dimensions"
    unsized = replace(DECISION, targets=("unsized",))
    assert with_dimensions(unsized, CATALOGUE, 100) == (unsized, 100)
    assert with_dimensions(DECISION, CATALOGUE, 100, drop_params=True) == (DECISION, None)
