"""Faults of a real tRPC server lose, double and hold back no window."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from cluster.backend.trpc import TrpcBackend
from cluster.costs.sending import read_set_aside, resend_parked
from cluster.lab.stack.backend_peer import BackendPeer
from tests.support.flush_bench import PARK_AFTER_S, FlushBench, flush_bench
from tests.support.trpc_backend import EVERYDAY_FAULTS, amounts_since, running_backend, set_faults

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_peer() -> AsyncIterator[BackendPeer]:
    async with running_backend() as peer:
        yield peer


@dataclass
class Sending:
    """A flusher that sends to the peer, and the peer's totals before the test."""

    bench: FlushBench
    peer: BackendPeer
    before_nanousd: dict[str, int]

    async def billed_nanousd(self) -> dict[str, int]:
        return amounts_since(self.before_nanousd, await self.peer.totals_nanousd())


@pytest_asyncio.fixture(params=["batches", "single calls"], loop_scope="module")
async def sending(request: pytest.FixtureRequest, shared_peer: BackendPeer, tmp_path: Path) -> AsyncIterator[Sending]:
    await set_faults(shared_peer)
    backend = TrpcBackend(shared_peer.url, shared_peer.key, "superjson", timeout_s=2)
    async with flush_bench(tmp_path / "journal.db", backend) as bench:
        if request.param == "single calls":
            bench.flusher._size.rows = bench.flusher._size.most_rows = 1
        yield Sending(bench, shared_peer, await shared_peer.totals_nanousd())
    await backend.aclose()


async def spend_30(bench: FlushBench) -> None:
    await bench.spend_all((1, ("acme", "globex", "umbrella")[number % 3], f"m{number}") for number in range(30))


ALL = {"acme": 10, "globex": 10, "umbrella": 10}


async def test_the_everyday_faults_end_with_every_window_stored_once(sending: Sending) -> None:
    await set_faults(sending.peer, **EVERYDAY_FAULTS)
    await spend_30(sending.bench)
    await sending.bench.rounds(40, every_s=600)
    assert await sending.billed_nanousd() == ALL
    counts = await sending.bench.counts()
    assert (counts.unsent_windows, counts.parked_windows) == (0, 0)
    assert sending.bench.flusher.counters.first_send_duplicates == 0


async def test_a_tenant_that_is_forbidden_or_fails_holds_back_no_other(sending: Sending) -> None:
    await set_faults(sending.peer, forbiddenTenants=["acme"], failingTenants=["globex"])
    await spend_30(sending.bench)
    await sending.bench.rounds(10)
    assert await sending.billed_nanousd() == {"umbrella": 10}
    assert (await sending.bench.counts()).parked_windows == 0
    await set_faults(sending.peer)
    await sending.bench.rounds(20)
    assert await sending.billed_nanousd() == ALL


async def test_a_refused_window_is_parked_and_the_others_of_its_batch_are_stored(
    sending: Sending, tmp_path: Path
) -> None:
    await set_faults(sending.peer, refusedModels=["m0"])
    await spend_30(sending.bench)
    await sending.bench.rounds(1)
    assert await sending.billed_nanousd() == ALL | {"acme": 9}
    await sending.bench.rounds(3, every_s=PARK_AFTER_S)
    (parked,) = read_set_aside(tmp_path / "journal.db")
    assert (parked.model, parked.reason) == ("m0", "BAD_REQUEST")
    await set_faults(sending.peer)
    resend_parked(tmp_path / "journal.db")
    await sending.bench.rounds(1)
    assert await sending.billed_nanousd() == ALL


async def test_conflict_for_a_known_flush_id_is_stored(sending: Sending) -> None:
    await set_faults(sending.peer, conflicts=True, failAfter=5)
    await spend_30(sending.bench)
    await sending.bench.rounds(10)
    assert await sending.billed_nanousd() == ALL
    assert (await sending.bench.counts()).unsent_windows == sending.bench.flusher.counters.first_send_duplicates == 0


@pytest.mark.parametrize("limit", [{"maxBodySize": 10_000}, {"maxBatchSize": 4}, {"batching": False}])
async def test_calls_shrink_until_they_fit(limit: dict[str, int | bool], sending: Sending) -> None:
    await set_faults(sending.peer, **limit)
    await spend_30(sending.bench)
    assert await sending.bench.flusher.try_once() is None
    assert await sending.billed_nanousd() == ALL and (await sending.bench.counts()).unsent_windows == 0


async def test_a_window_larger_than_the_limit_waits_and_is_not_parked(sending: Sending) -> None:
    await set_faults(sending.peer, maxBodySize=100)
    await sending.bench.spend(1)
    await sending.bench.rounds(5, every_s=PARK_AFTER_S)
    counts = await sending.bench.counts()
    assert (counts.unsent_windows, counts.parked_windows) == (1, 0)
    await set_faults(sending.peer)
    await sending.bench.rounds(1)
    assert await sending.billed_nanousd() == {"acme": 1}


async def test_a_replica_without_the_procedure_delays_the_windows(sending: Sending) -> None:
    await set_faults(sending.peer, noProcedure=40)
    await spend_30(sending.bench)
    await sending.bench.rounds(60, every_s=PARK_AFTER_S)
    assert await sending.billed_nanousd() == ALL and (await sending.bench.counts()).parked_windows == 0


async def test_a_backend_that_is_slow_by_the_row_is_sent_fewer_rows_a_call(sending: Sending) -> None:
    await set_faults(sending.peer, delayRowMs=90)
    await spend_30(sending.bench)
    await sending.bench.rounds(2)
    assert await sending.billed_nanousd() == ALL and (await sending.bench.counts()).unsent_windows == 0


async def test_a_reply_that_does_not_tell_inserted_from_duplicate_is_no_alarm(sending: Sending) -> None:
    await set_faults(sending.peer, silent=True)
    await spend_30(sending.bench)
    await sending.bench.rounds(1)
    assert await sending.billed_nanousd() == ALL and sending.bench.flusher.counters.first_send_duplicates == 0
