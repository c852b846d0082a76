"""Every failure of the actor path is one error, and an older deployment's aggregator is replaced in order."""

from __future__ import annotations

from typing import Any

import pytest
from ray.exceptions import ActorDiedError, TaskCancelledError

from cluster.aggregator import handle as handle_module
from cluster.aggregator.deployment import AggregatorSettings, aggregator_settings
from cluster.aggregator.handle import AggregatorHandle
from cluster.config.settings import BackendSettings, CostSettings
from routing.errors import CostsUnavailable

SETTINGS: AggregatorSettings = aggregator_settings(CostSettings(timeout_s=0.5), BackendSettings(), {}, now_s=100.0)


class RemoteMethod:
    """A method of an actor: it returns its results in order, and raises those that are errors."""

    def __init__(self, *results: object) -> None:
        self.results = list(results)
        self.calls: list[tuple[object, ...]] = []

    async def remote(self, *values: object) -> object:
        self.calls.append(values)
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, BaseException):
            raise result
        return result


class Actor:
    def __init__(self, serves: object = True, **methods: object) -> None:
        self.serves = RemoteMethod(serves)
        self.retire = RemoteMethod(ActorDiedError())
        for name, result in methods.items():
            setattr(self, name, RemoteMethod(result))


def connected(monkeypatch: pytest.MonkeyPatch, *actors: Actor | Exception) -> tuple[AggregatorHandle, list[Actor]]:
    """Return a handle whose starts find these actors in order, and the list of those found."""
    waiting, found = list(actors), []

    def start(settings: AggregatorSettings, shard: int) -> Any:
        actor = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(actor, Exception):
            raise actor
        found.append(actor)
        return actor

    monkeypatch.setattr(handle_module, "start_aggregator", start)
    monkeypatch.setattr(handle_module, "SUCCESSOR_S", 0.0)
    monkeypatch.setattr(handle_module, "REPLACED_AFTER_S", 0.0)
    return AggregatorHandle(SETTINGS), found


@pytest.mark.parametrize(
    "error", [TaskCancelledError(), ActorDiedError(), ValueError("x"), RuntimeError("x"), CostsUnavailable()]
)
async def test_every_error_of_a_call_means_that_the_costs_are_unavailable(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    handle, _ = connected(monkeypatch, Actor(totals=error))
    with pytest.raises(CostsUnavailable):
        await handle.call("totals", "acme")


async def test_an_error_of_the_start_means_that_the_costs_are_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    handle, found = connected(monkeypatch, ConnectionError("no head"), Actor(totals=7))
    with pytest.raises(CostsUnavailable):
        await handle.call("totals", "acme")
    assert await handle.call("totals", "acme") == 7 and len(found) == 1


async def test_a_dead_actor_is_looked_up_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    handle, found = connected(monkeypatch, Actor(totals=ActorDiedError()), Actor(totals=7))
    with pytest.raises(CostsUnavailable):
        await handle.call("totals", "acme")
    assert await handle.call("totals", "acme") == 7 and len(found) == 2


async def test_an_older_deployments_aggregator_is_retired_before_the_first_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, dying, new = Actor(serves=False, totals=1), Actor(serves=ActorDiedError()), Actor(totals=2)
    handle, found = connected(monkeypatch, old, dying, new)
    assert await handle.call("totals", "acme") == 2
    assert found == [old, dying, new]
    assert old.retire.calls == [(SETTINGS.deployment,)]


async def test_a_handle_whose_actor_ended_waits_for_the_one_of_a_newer_deployment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handle, started = connected(monkeypatch, Actor(totals=ActorDiedError()))
    monkeypatch.setattr(handle_module, "SUCCESSOR_S", 60.0)
    lookups: list[Actor | ValueError] = [ValueError("no such name"), Actor(serves=ActorDiedError()), Actor(totals=7)]

    def find(shard: int) -> Any:
        found = lookups.pop(0)
        if isinstance(found, ValueError):
            raise found
        return found

    monkeypatch.setattr(handle_module, "find_aggregator", find)
    with pytest.raises(CostsUnavailable):
        await handle.call("totals", "acme")
    assert await handle.call("totals", "acme") == 7
    assert len(started) == 1 and not lookups
