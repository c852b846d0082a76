"""`rayroom dispatch` keeps one agent in each room of a real livekit-server, in spite of bad input."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from livekit import api

from cluster.dispatch.server import WEBHOOK_PATH
from cluster.lab.stack.ports import free_ports
from room_agent.core.agents import AGENT_NAME_ATTRIBUTE
from room_agent.heartbeat_sender import HeartbeatSender
from tests.support.dispatch import FailingProxy, list_dispatches, running_dispatch
from tests.support.eventually import eventually
from tests.support.livekit_server import LiveKit, running_livekit
from tests.support.signal_participant import SignalWorker, join_by_signal

WAIT_S = 90.0
(DISPATCH_PORT,) = free_ports(1)


@pytest.fixture(scope="module")
def livekit() -> Iterator[LiveKit]:
    with running_livekit(webhook_url=f"http://127.0.0.1:{DISPATCH_PORT}{WEBHOOK_PATH}") as livekit:
        yield livekit


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        yield http


@pytest.fixture
async def worker(livekit: LiveKit, http: aiohttp.ClientSession) -> AsyncIterator[SignalWorker]:
    async with SignalWorker(livekit, http).registered() as worker:
        yield worker


def lk(livekit: LiveKit) -> api.LiveKitAPI:
    return api.LiveKitAPI(livekit.url, livekit.key, livekit.secret)


async def test_a_room_gets_one_agent_and_another_when_that_one_leaves(
    livekit: LiveKit, http: aiohttp.ClientSession, worker: SignalWorker
) -> None:
    room = "tenant_acme_first"
    async with running_dispatch(livekit, DISPATCH_PORT) as dispatch:
        ann = await join_by_signal(http, livekit, livekit.token(room, "ann"))
        lobby = await join_by_signal(http, livekit, livekit.token("lobby", "ann"))
        await eventually(lambda: worker.agents_of(room), WAIT_S)
        (first,) = worker.agents_of(room)
        await eventually(lambda: dispatch.figure("unattended_seconds_count") == 1, WAIT_S)
        await worker.end(first)
        await eventually(lambda: worker.agents_of(room), WAIT_S)
        assert worker.started == [room, room] and worker.agents_of(room) != [first]
        assert len(await list_dispatches(livekit, room)) == 1
        assert dispatch.figure("webhooks_total") > 0
        await ann.close()
        await lobby.close()


async def test_a_restarted_dispatch_and_a_second_one_dispatch_nobody_twice(
    livekit: LiveKit, http: aiohttp.ClientSession, worker: SignalWorker
) -> None:
    room = "tenant_acme_restart"
    ann = await join_by_signal(http, livekit, livekit.token(room, "ann"))
    async with running_dispatch(livekit, DISPATCH_PORT), running_dispatch(livekit):
        await eventually(lambda: worker.agents_of(room), WAIT_S)
    async with running_dispatch(livekit, DISPATCH_PORT) as dispatch:
        await eventually(lambda: dispatch.figure("looks_total") > 0, WAIT_S)
        # Two that looked at the same moment both dispatched: the second agent leaves, or is removed where it does not.
        await eventually(lambda: len(worker.agents_of(room)) == 1, WAIT_S)
        await asyncio.sleep(1.5)
    assert (
        len(worker.started) <= 2 and len(worker.agents_of(room)) == 1 and len(await list_dispatches(livekit, room)) == 1
    )
    await ann.close()


async def test_a_person_with_the_name_and_attributes_of_the_agent_is_no_agent(
    livekit: LiveKit, http: aiohttp.ClientSession, worker: SignalWorker
) -> None:
    room = "tenant_acme_impostor"
    grants = api.VideoGrants(room_join=True, room=room)
    token = api.AccessToken(livekit.key, livekit.secret).with_identity("rayroom-AJ_1").with_name("rayroom")
    token = token.with_attributes({AGENT_NAME_ATTRIBUTE: "rayroom"}).with_grants(grants)
    async with running_dispatch(livekit, DISPATCH_PORT) as dispatch:
        impostor = await join_by_signal(http, livekit, token.with_ttl(dt.timedelta(minutes=5)).to_jwt())
        await eventually(lambda: worker.agents_of(room), WAIT_S)
        (first,) = worker.agents_of(room)
        await eventually(lambda: dispatch.figure("unattended_seconds_count") == 1, WAIT_S)
        # Whoever joins with the agent's identity throws it out of the room; the room gets another agent.
        thief = await join_by_signal(http, livekit, livekit.token(room, first))
        await eventually(lambda: [one for one in worker.agents_of(room) if one != first], WAIT_S)
        assert worker.started == [room, room]
        await impostor.close()
        await thief.close()


async def test_many_rooms_opened_at_once_get_one_agent_each(
    livekit: LiveKit, http: aiohttp.ClientSession, worker: SignalWorker
) -> None:
    rooms = [f"tenant_acme_crowd-{number}" for number in range(20)]
    async with running_dispatch(livekit, DISPATCH_PORT):
        people = await asyncio.gather(*(join_by_signal(http, livekit, livekit.token(room, "ann")) for room in rooms))
        await eventually(lambda: {*rooms} <= {*worker.started}, WAIT_S)
        await asyncio.sleep(1.0)
        assert sorted(worker.started) == sorted(rooms)
        await asyncio.gather(*(one.close() for one in people))


async def test_a_room_deleted_while_its_agent_starts_does_not_come_back(
    livekit: LiveKit, http: aiohttp.ClientSession, worker: SignalWorker
) -> None:
    room = "tenant_acme_short"
    worker.start_delay_s = 1.0
    async with running_dispatch(livekit, DISPATCH_PORT) as dispatch, lk(livekit) as client:
        ann = await join_by_signal(http, livekit, livekit.token(room, "ann"))
        await eventually(lambda: dispatch.figure("steps_total") > 0, WAIT_S)
        await client.room.delete_room(api.DeleteRoomRequest(room=room))
        await ann.close()
        await asyncio.sleep(2.5)
        assert worker.started.count(room) == 1 and dispatch.figure("steps_total") == 1


async def test_changed_metadata_of_a_room_changes_nothing(
    livekit: LiveKit, http: aiohttp.ClientSession, worker: SignalWorker
) -> None:
    room = "tenant_acme_metadata"
    async with running_dispatch(livekit, DISPATCH_PORT) as dispatch, lk(livekit) as client:
        ann = await join_by_signal(http, livekit, livekit.token(room, "ann"))
        await eventually(lambda: dispatch.figure("unattended_seconds_count") == 1, WAIT_S)
        metadata = '{"tenant_id": "globex"}'
        await client.room.update_room_metadata(api.UpdateRoomMetadataRequest(room=room, metadata=metadata))
        await asyncio.sleep(1.5)
        await worker.end(worker.agents_of(room)[0])
        await eventually(lambda: worker.agents_of(room), WAIT_S)
        (dispatched,) = await list_dispatches(livekit, room)
        assert '"acme"' in dispatched.metadata and len(worker.started) == 2
        await ann.close()


async def test_rooms_get_their_agents_when_livekit_answers_again(
    livekit: LiveKit, http: aiohttp.ClientSession, worker: SignalWorker
) -> None:
    room, proxy = "tenant_acme_outage", FailingProxy(livekit, failing=True)
    async with proxy.running() as url, running_dispatch(livekit, DISPATCH_PORT, url) as dispatch:
        ann = await join_by_signal(http, livekit, livekit.token(room, "ann"))
        await eventually(lambda: dispatch.figure("livekit_failures_total") > 3, WAIT_S)
        assert not dispatch.dispatcher.ready
        proxy.failing = False
        await eventually(lambda: worker.agents_of(room), WAIT_S)
        await eventually(lambda: dispatch.dispatcher.ready, WAIT_S)
        assert worker.started == [room]
        await ann.close()


async def test_forged_webhooks_are_refused_and_repeated_ones_dropped(
    livekit: LiveKit, http: aiohttp.ClientSession
) -> None:
    async with running_dispatch(livekit, DISPATCH_PORT) as dispatch:
        body = b'{"event": "participant_left", "id": "EV_1", "room": {"name": "tenant_acme_nowhere"}}'
        genuine = signed(livekit.secret, body)
        forgeries = {
            "another key": (body, signed("x" * 32, body)),
            "another body": (body + b" ", genuine),
            "no token": (body, ""),
            "no signature": (body, livekit.token("tenant_acme_nowhere", "ann")),
        }
        for forged, token in forgeries.values():
            assert await post(http, dispatch.url + WEBHOOK_PATH, forged, token) == 401
        broken = b"{}"
        broken_token = signed(livekit.secret, broken)
        assert await post(http, dispatch.url + WEBHOOK_PATH, broken, broken_token) == 400
        # Late, and of a room that is closed: only a look, which finds nothing.
        assert await post(http, dispatch.url + WEBHOOK_PATH, body, genuine) == 200
        assert await post(http, dispatch.url + WEBHOOK_PATH, body, genuine) == 200
        assert dispatch.figure('webhooks_total{outcome="refused"}') == len(forgeries) + 1
        assert dispatch.figure('webhooks_total{outcome="repeated"}') == 1
        await asyncio.sleep(0.5)
        assert dispatch.figure("steps_total") == 0


def signed(secret: str, body: bytes) -> str:
    """Return the token with which LiveKit signs a webhook."""
    sha256 = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return api.AccessToken("tests", secret).with_sha256(sha256).to_jwt()


async def post(http: aiohttp.ClientSession, url: str, body: bytes, token: str) -> int:
    async with http.post(url, data=body, headers={"Authorization": token}) as answer:
        return answer.status


async def test_heartbeats_hand_the_rooms_of_a_draining_worker_over(
    livekit: LiveKit, http: aiohttp.ClientSession, worker: SignalWorker
) -> None:
    room = "tenant_acme_roll"
    async with running_dispatch(livekit, DISPATCH_PORT) as dispatch:
        # The successor runs at another worker, which sends no heartbeats.
        sender = HeartbeatSender(dispatch.url, livekit.key, livekit.secret, lambda: worker.jobs()[:1])
        sending = asyncio.create_task(sender.run())
        ann = await join_by_signal(http, livekit, livekit.token(room, "ann"))
        await eventually(lambda: worker.agents_of(room), WAIT_S)
        await eventually(lambda: dispatch.figure("heartbeats_total") > 1, WAIT_S)
        (first,) = worker.agents_of(room)
        sender.draining = True
        await eventually(lambda: len(worker.agents_of(room)) == 2, WAIT_S)
        dispatches = await list_dispatches(livekit, room)
        assert sorted(one.attributes["rayroom.replaces"] for one in dispatches) == ["", first]
        sending.cancel()
        await ann.close()
