"""Every error can be pickled and converted to an envelope."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest
from ray import cloudpickle

from routing import errors
from routing.errors import BudgetExceeded, ProviderError, RayroomError


def subclasses(kind: type[RayroomError] = RayroomError) -> Iterator[type[RayroomError]]:
    yield kind
    for subclass in kind.__subclasses__():
        if subclass.__module__.startswith(f"{errors.__name__}."):
            yield from subclasses(subclass)


@pytest.mark.parametrize("kind", sorted(set(subclasses()), key=str))
@pytest.mark.parametrize("pickler", [pickle, cloudpickle])
def test_pickling_preserves_an_error(kind: type[RayroomError], pickler: object) -> None:
    error = kind("it broke", "field", 3.5, spent_nanousd=7)
    unpickled = pickle.loads(pickler.dumps(error))  # type: ignore[attr-defined]
    assert type(unpickled) is kind
    assert (unpickled.message, unpickled.param, unpickled.retry_after_s, unpickled.facts) == (
        "it broke",
        "field",
        3.5,
        error.facts,
    )


@pytest.mark.parametrize("kind", sorted(set(subclasses()), key=str))
def test_the_default_message_of_an_error_is_its_docstring(kind: type[RayroomError]) -> None:
    envelope = kind().envelope()["error"]
    assert envelope["message"] == (kind.__doc__ or "").strip() != ""
    assert 400 <= kind.status <= 599 and envelope["code"] and envelope["type"]


def test_the_tree_of_the_package_names_every_error_class_and_the_package_exports_it() -> None:
    tree_text = errors.__doc__ or ""
    assert [kind.__name__ for kind in subclasses() if kind.__name__ not in tree_text] == []
    assert {kind.__name__ for kind in subclasses()} == set(errors.__all__)


def test_the_envelope_includes_the_facts() -> None:
    error = BudgetExceeded(spent_nanousd=5, limit_nanousd=4).envelope()["error"]
    assert (error["spent_nanousd"], error["limit_nanousd"]) == (5, 4)


def test_only_errors_that_a_vendor_may_charge_for_are_billable() -> None:
    free = {kind.__name__ for kind in subclasses(ProviderError) if not kind.billable}  # type: ignore[attr-defined]
    refused = {"ProviderRefused", "ProviderContextTooLong", "ProviderMisconfigured"}
    unserved = {"ProviderRateLimited", "ProviderQuota", "ProviderOverloaded", "ProviderAuth", "ProviderUnconnected"}
    assert free == refused | unserved
