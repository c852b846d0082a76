"""Whatever grows with its callers has a bound: each kind of state is flooded, and stays at it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sized
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from livekit import rtc

from cluster.aggregator import shared_rates
from cluster.aggregator.shared_rates import SharedRates
from cluster.backend import tenant_cache
from cluster.costs.call_records import CallRecordStore
from cluster.dispatch import due_rooms, workers
from cluster.dispatch.due_rooms import DueRooms
from cluster.dispatch.workers import WorkerRegistry
from cluster.rooms import registry
from cluster.rooms.registry import RoomRegistry
from deployments.api.access.authentication import FailedAuthentications
from deployments.api.access.room_tokens import Tokens, issue_token, sign
from deployments.api.frame_schemas import FrameHeaders
from deployments.api.uploads import Uploads
from deployments.gateway import frame_order
from deployments.gateway.frame_order import FrameOrder
from room_agent.context.screen_memory import ScreenMemory
from room_agent.conversation import chat_limits
from room_agent.conversation.chat_limits import ChatLimits
from room_agent.conversation.question_queue import Question, QuestionQueue
from room_agent.core import encryption, participants
from room_agent.core.encryption import EncryptedTracks
from room_agent.core.participants import FormerParticipants
from room_agent.core.worker_heartbeat import WorkerHeartbeat
from routing import fairness, latency, ratelimit
from routing.breaker import Breakers
from routing.errors import Overloaded, Unauthorized
from routing.fairness import FairnessSettings, FairShare
from routing.latency import ModelLatencies
from routing.models import RoomHeartbeat, Tenant
from routing.ratelimit import TakenRequests, TenantLimits
from routing.rooms import parse_room
from tests.support.cost_entries import call_record
from tests.support.gateway import KEYS

BOUND, FLOOD = 20, 500


@dataclass
class Flooded:
    """The state under test, its containers by attribute, and the module constant that bounds it."""

    make: Callable[[], Any]
    add: Callable[[Any, int], object]
    attributes: tuple[str, ...]
    constant: tuple[Any, str] | None = None
    most: int = BOUND


def beat(rooms: RoomRegistry, number: int) -> None:
    room = f"tenant_{number}_standup"
    heartbeat = RoomHeartbeat(
        room=room, tenant_id=str(number), job_id="j", beat_at_s=20.0, opened_at_s=10.0, counters={}
    )
    rooms.beat(heartbeat)


def refuse(shares: FairShare, number: int) -> None:
    with suppress(Overloaded):
        shares.take(f"tenant-{number}", 0.0)


def fail(failures: FailedAuthentications, number: int) -> None:
    with suppress(Unauthorized), failures.of("agent key"):
        raise Unauthorized(f"guess {number}")


def upload(uploads: Uploads, number: int) -> None:
    with uploads.slot(f"tenant-{number}"):
        pass


def limit(limits: TenantLimits, number: int) -> None:
    name = f"tenant-{number}"
    tenant = Tenant(tenant_id=name, name=name, plan="free", active=True, budget_nanousd=None, requests_per_minute=600)
    limits.take(tenant, 0.0)


def token(tokens: Tokens, number: int) -> None:
    issued = issue_token(parse_room("tenant_acme_standup"), f"job-{number}", 900.0, 4_000_000_000.0)
    tokens.read("Bearer " + sign(issued, KEYS))


def encrypted(tracks: EncryptedTracks, number: int) -> None:
    class Publication:
        sid = f"TR_{number}"
        encryption_type = rtc.EncryptionType.GCM

    tracks.has(Publication())  # type: ignore[arg-type]


def report(registered: WorkerRegistry, number: int) -> None:
    heartbeat = WorkerHeartbeat(worker=f"worker-{number}", draining=False, stopped=False, jobs=())
    registered.report(heartbeat, number, 0.0)


def ask(queue: QuestionQueue, number: int) -> None:
    queue.offer(Question(identity=f"person-{number}", name="Ann", text="What is on it?", asked_at_s=0.0))


def rates(shared: SharedRates, number: int) -> None:
    taken = TakenRequests(limit="requests", tenant_id=f"tenant-{number}", count=1, per_s=1.0)
    shared.exchange(f"replica-{number}", [taken], 0.0)


STATE = {
    "rooms": Flooded(RoomRegistry, beat, ("heartbeats", "_rooms_of"), (registry, "MAX_ROOMS")),
    "closed rooms": Flooded(
        RoomRegistry, lambda rooms, n: rooms.close(f"room-{n}", "j", 1.0, 1.0), ("closed",), (registry, "MAX_ROOMS")
    ),
    "room tokens": Flooded(lambda: Tokens(KEYS, limit=BOUND), token, ("_known",)),
    "failed authentications": Flooded(FailedAuthentications, fail, ("_unlogged", "_logged_at_s")),
    "rate limits": Flooded(TenantLimits, limit, ("buckets", "taken"), (ratelimit, "MAX_TENANTS")),
    "refused tenants": Flooded(
        lambda: FairShare(FairnessSettings(slots=4)),
        refuse,
        ("_held", "_refused_at_s"),
        (fairness, "MAX_REFUSED"),
    ),
    "uploads": Flooded(Uploads, upload, ("_in_progress",)),
    "frames' order": Flooded(
        FrameOrder,
        lambda order, n: order.check(f"room-{n}", FrameHeaders(captured_at=1.0, track="TR_1")),
        ("_newest_s",),
        (frame_order, "MOST_TRACKS"),
    ),
    "breakers": Flooded(
        lambda: Breakers(random.Random(1), max_breakers=BOUND),
        lambda all_, n: all_.of("openai", f"m-{n}"),
        ("_breakers",),
    ),
    "latencies": Flooded(
        ModelLatencies, lambda all_, n: all_.add(f"model-{n}", 1.0), ("_latencies",), (latency, "MAX_MODELS")
    ),
    "shared rates": Flooded(SharedRates, rates, ("replicas",), (shared_rates, "MAX_REPLICAS")),
    "call records": Flooded(
        lambda: CallRecordStore(BOUND), lambda store, n: store.add(call_record(f"e-{n}"), 0.0), ("_records",)
    ),
    "workers": Flooded(WorkerRegistry, report, ("workers",), (workers, "MAX_WORKERS")),
    "rooms to look at": Flooded(
        DueRooms, lambda due, n: due.add(f"room-{n}", 1.0), ("_due_s",), (due_rooms, "MAX_ROOMS")
    ),
    "questions": Flooded(lambda: QuestionQueue(BOUND), ask, ("_waiting",)),
    "chat senders": Flooded(
        ChatLimits, lambda limits, n: limits.refused(f"person-{n}", 0, 0.0), ("_senders",), (chat_limits, "MAX_SENDERS")
    ),
    "former participants": Flooded(
        FormerParticipants,
        lambda former, n: former.add(f"person-{n}", "Ann", 0.0),
        ("_former",),
        (participants, "MAX_FORMER"),
    ),
    "encrypted tracks": Flooded(EncryptedTracks, encrypted, ("_logged",), (encryption, "MAX_LOGGED")),
    "screen memory": Flooded(
        ScreenMemory,
        lambda memory, n: memory.add(f"TR_{n}", f"Slide {n}", float(n)),
        ("_entries", "_labels", "_undescribed", "_ended_s"),
        most=256,
    ),
}


@pytest.mark.parametrize("name", STATE)
def test_a_flood_of_new_names_does_not_grow_the_state_over_its_bound(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flooded = STATE[name]
    if flooded.constant is not None:
        monkeypatch.setattr(*flooded.constant, BOUND)
    state = flooded.make()
    for number in range(FLOOD):
        flooded.add(state, number)
    containers: list[Sized] = [getattr(state, attribute) for attribute in flooded.attributes]
    sizes = {attribute: len(held) for attribute, held in zip(flooded.attributes, containers, strict=True)}
    assert max(sizes.values()) <= flooded.most, sizes


def test_the_bound_of_the_tenant_cache_is_one_of_its_constants() -> None:
    # Its floods are in tests/unit/cluster/backend/test_tenant_cache.py, because they need an event loop.
    assert tenant_cache.MAX_TENANTS <= 50_000 and tenant_cache.MAX_FETCHES <= 256
