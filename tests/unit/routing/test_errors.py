"""Every error of ours survives a process boundary and fits the envelope."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest
from ray import cloudpickle

from routing import errors
from routing.errors import BudgetExceeded, ProviderError, RayroomError


def tree(kind: type[RayroomError] = RayroomError) -> Iterator[type[RayroomError]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from tree(below)


@pytest.mark.parametrize("kind", sorted(set(tree()), key=str))
@pytest.mark.parametrize("pickler", [pickle, cloudpickle])
def test_an_error_is_the_same_after_pickling(kind: type[RayroomError], pickler: object) -> None:
    error = kind("it broke", "field", 3.5, spent_nanousd=7)
    again = pickle.loads(pickler.dumps(error))  # type: ignore[attr-defined]
    assert type(again) is kind
    assert (again.message, again.param, again.retry_after_s, again.facts) == ("it broke", "field", 3.5, error.facts)


@pytest.mark.parametrize("kind", sorted(set(tree()), key=str))
def test_an_error_without_a_message_speaks_its_docstring(kind: type[RayroomError]) -> None:
    envelope = kind().envelope()["error"]
    assert envelope["message"] == (kind.__doc__ or "").strip() != ""
    assert 400 <= kind.status <= 599 and envelope["code"] and envelope["type"]


def test_the_drawing_at_the_files_top_names_every_class() -> None:
    drawn = errors.__doc__ or ""
    assert [kind.__name__ for kind in tree() if kind.__name__ not in drawn] == []


def test_facts_are_part_of_the_envelope() -> None:
    error = BudgetExceeded(spent_nanousd=5, limit_nanousd=4).envelope()["error"]
    assert (error["spent_nanousd"], error["limit_nanousd"]) == (5, 4)


def test_what_a_vendor_may_have_charged_for_is_billable() -> None:
    free = {kind.__name__ for kind in tree(ProviderError) if not kind.billable}  # type: ignore[attr-defined]
    refused = {"ProviderRefused", "ProviderContextTooLong", "ProviderMisconfigured"}
    unserved = {"ProviderRateLimited", "ProviderQuota", "ProviderOverloaded", "ProviderAuth", "ProviderUnconnected"}
    assert free == refused | unserved
