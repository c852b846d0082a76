"""Speech usage in heartbeats becomes cost events: each id once, durable, through every failure."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from cluster.aggregator.outbox import CostOutbox
from cluster.costs.models import Entry, Receipt
from cluster.lab.emulator import Emulator
from deployments.api.access.room_tokens import issue_token, sign
from deployments.api.room_schemas import Heartbeat
from deployments.common.settings import SimulationSettings, VendorSettings
from deployments.providers.registry import check_vendor, connect
from deployments.routes import build_routes
from routing.catalogue import load_catalogue
from routing.errors import ConfigurationError, CostsUnavailable
from routing.models import Intent, Outcome, Settlement, Usage
from routing.rooms import parse_room
from tests.integration.gateway.listed_metrics import ListedMetrics
from tests.integration.gateway.router_requests import ADMIN
from tests.support.cost_entries import intent, settlement
from tests.support.credentials import FRAME_HEADERS, Bearer
from tests.support.gateway import KEYS, SIMULATED, InProcessCluster, gateway_in_process, jpeg
from tests.support.speech_clients import deepgram_client, elevenlabs_client, voice, wav

SPEECH = SIMULATED | {
    "deepgram": VendorSettings(api="deepgram", simulated=True),
    "elevenlabs": VendorSettings(api="elevenlabs", simulated=True),
}


def heartbeat_path(room: str = "tenant_acme_standup") -> str:
    return f"/v1/rooms/{room}/heartbeat"


def stt_usage(name: str = "s1", audio_ms: int = 7_120, **changes: Any) -> dict[str, Any]:
    event = {"id": name, "service": "stt", "model": "nova-3", "audio_ms": audio_ms, "characters": 0}
    return event | {"occurred_at": time.time()} | changes


def tts_usage(name: str = "t1", characters: int = 21, **changes: Any) -> dict[str, Any]:
    event = {"id": name, "service": "tts", "model": "eleven_flash_v2_5", "audio_ms": 0, "characters": characters}
    return event | {"occurred_at": time.time()} | changes


async def send_heartbeat(http: httpx.AsyncClient, headers: dict[str, str], *usage: Any, **more: Any) -> httpx.Response:
    room = more.pop("room", "tenant_acme_standup")
    return await http.post(heartbeat_path(room), json={"usage": usage, **more}, headers=headers)


async def test_listening_is_priced_by_the_millisecond_and_speaking_by_the_character(
    http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    response = await send_heartbeat(
        http, bearer(), stt_usage(audio_ms=7_120), tts_usage(characters=21), counters={"frames_seen": 3}
    )
    stt, tts = sorted(await cluster.events(), key=lambda event: str(event["service"]))
    assert response.status_code == 200 and response.json()["taken"] == ["s1", "t1"]
    # 0.0048 USD a minute, and 0.04 USD a thousand characters.
    assert (stt["cost_nanousd"], tts["cost_nanousd"]) == (7_120 * 80, 21 * 40_000)
    assert (stt["model"], stt["vendor"], stt["tenant_id"]) == ("nova-3", "deepgram", "acme")
    assert (stt["outcome"], stt["estimated"], stt["simulated"]) == ("ok", 0, 0)
    assert json.loads(str(tts["usage"])) == {"characters": 21} and tts["room"] == "tenant_acme_standup"
    assert (await http.get("/v1/tenants/acme/usage", headers=ADMIN)).json()["rooms"][0]["counters"] == {
        "frames_seen": 3
    }


async def test_the_same_id_is_billed_once_however_often_and_wherever_it_comes(
    http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    again = [await send_heartbeat(http, bearer(), stt_usage(), stt_usage(), stt_usage("s2", 10)) for _ in range(3)]
    other_room = await send_heartbeat(http, bearer("tenant_acme_retro"), stt_usage(), room="tenant_acme_retro")
    assert [response.json()["taken"] for response in again] == [["s1", "s2"]] * 3
    assert other_room.json()["taken"] == ["s1"]
    assert [event["cost_nanousd"] for event in await cluster.events()] == [7_120 * 80, 10 * 80]


async def test_an_id_that_comes_again_with_another_amount_stays_at_the_first_and_is_an_alarm(
    http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    with capture_logs() as logged:
        replies = [await send_heartbeat(http, bearer(), stt_usage("s1", amount)) for amount in (7_120, 7_120, 9_000)]
    assert [reply.json()["taken"] for reply in replies] == [["s1"]] * 3
    (event,) = await cluster.events()
    assert event["cost_nanousd"] == 7_120 * 80 and cluster.recorder.counters.contradictions == 1
    (alarm,) = [line for line in logged if line["event"].startswith("cost reported again with other amounts")]
    assert (alarm["log_level"], alarm["event_id"]) == ("error", event["event_id"])


async def test_two_tenants_and_two_jobs_may_use_one_id(
    http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    later = issue_token(parse_room("tenant_acme_standup"), "job-2", 900, time.time())
    await send_heartbeat(http, bearer(), stt_usage())
    await send_heartbeat(http, {"authorization": f"Bearer {sign(later, KEYS)}"}, stt_usage())
    await send_heartbeat(http, bearer("tenant_globex_x"), stt_usage(), room="tenant_globex_x")
    assert sorted(str(event["tenant_id"]) for event in await cluster.events()) == ["acme", "acme", "globex"]


async def test_the_tenant_is_the_tokens_and_another_rooms_token_bills_nothing(
    http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    wrong_room = await send_heartbeat(http, bearer(), stt_usage(), room="tenant_globex_x")
    claimed = await send_heartbeat(http, bearer(), stt_usage(tenant_id="globex"))
    assert wrong_room.status_code == 403 and claimed.json()["set_aside"][0]["param"] == "usage.0.tenant_id"
    assert await cluster.events() == []


BAD_USAGE: dict[str, tuple[Any, str]] = {
    "an unknown model": (stt_usage(model="nova-9"), "usage.1.model"),
    "a simulated model's name": (stt_usage(model="simulated/nova-3"), "usage.1.model"),
    "a model without STT": (stt_usage(model="eleven_flash_v2_5"), "usage.1.model"),
    "a model that does neither": (stt_usage(model="gpt-4o"), "usage.1.model"),
    "another service": (stt_usage(service="llm"), "usage.1.service"),
    "no id": (stt_usage(id=""), "usage.1.id"),
    "a long id": (stt_usage(id="x" * 129), "usage.1.id"),
    "time that runs back": (stt_usage(audio_ms=-1), "usage.1.audio_ms"),
    "half a millisecond": (stt_usage(audio_ms=0.5), "usage.1.audio_ms"),  # type: ignore[arg-type]
    "a word for a time": (stt_usage(audio_ms="7"), "usage.1.audio_ms"),  # type: ignore[arg-type]
    "yes for a time": (stt_usage(audio_ms=True), "usage.1.audio_ms"),
    "a time beyond any": (stt_usage(audio_ms=10**18), "usage.1.audio_ms"),
    "characters of STT": (stt_usage(characters=3), "usage.1.characters"),
    "milliseconds of TTS": (tts_usage(audio_ms=3), "usage.1.audio_ms"),
    "before there was a price": (stt_usage(occurred_at=0.0), "usage.1.occurred_at"),
    "before the epoch": (stt_usage(occurred_at=-1.0), "usage.1.occurred_at"),
    "days ahead": (stt_usage(occurred_at=time.time() + 3 * 86_400), "usage.1.occurred_at"),
    "beyond all days": (stt_usage(occurred_at=1e300), "usage.1.occurred_at"),
    "no time": ({k: v for k, v in stt_usage().items() if k != "occurred_at"}, "usage.1.occurred_at"),
    "an unknown key": (stt_usage(text="hello"), "usage.1.text"),
    "no object": (3, "usage.1"),
}


@pytest.mark.parametrize("name", BAD_USAGE)
async def test_an_event_without_a_price_is_set_aside_by_name_and_the_rest_of_its_heartbeat_is_billed(
    name: str, http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    event, param = BAD_USAGE[name]
    with capture_logs() as logged:
        response = await send_heartbeat(http, bearer(), stt_usage("good"), event, tts_usage("better"))
    (aside,) = response.json()["set_aside"]
    known = event["id"] if isinstance(event, dict) and 0 < len(event["id"]) <= 128 else None
    assert (response.status_code, aside["param"], aside["id"]) == (200, param, known)
    assert aside["message"].startswith(f"{param}: ")
    assert response.json()["taken"] == ["good", "better"] and response.json()["token"]
    assert [event["cost_nanousd"] for event in await cluster.events()] == [7_120 * 80, 21 * 40_000]
    (alarm,) = [line for line in logged if line["event"] == "speech usage set aside unbilled"]
    assert (alarm["log_level"], alarm["param"], alarm["usage"]) == ("error", param, known)


async def test_usage_that_is_not_a_number_is_set_aside(http: httpx.AsyncClient, bearer: Bearer) -> None:
    odd: list[Any] = [{"occurred_at": float("nan")}, {"audio_ms": float("nan")}, {"audio_ms": float("inf")}]
    usage = [stt_usage("good"), *(stt_usage(f"odd {number}", **one) for number, one in enumerate(odd))]
    response = await http.post(heartbeat_path(), content=json.dumps({"usage": usage}), headers=bearer())
    assert [aside["id"] for aside in response.json()["set_aside"]] == ["odd 0", "odd 1", "odd 2"]
    assert response.json()["taken"] == ["good"]


async def test_usage_that_is_set_aside_is_counted(tmp_path: Path) -> None:
    metrics = ListedMetrics()
    async with gateway_in_process(tmp_path, vendors=SPEECH) as (gateway, _):
        gateway.rooms._metrics = metrics
        token = issue_token(parse_room("tenant_acme_standup"), "job-1", 900, time.time())
        usage = [stt_usage("bad", model="nova-9"), stt_usage("worse", audio_ms=-1), stt_usage("good")]
        reply = await gateway.rooms.heartbeat(token, Heartbeat.model_validate({"usage": usage}))
    assert metrics.counted == [("set aside", "", "")] * 2 and reply.taken == ("good",)


async def test_a_heartbeat_holds_256_events_at_most(
    http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    many = [stt_usage(f"s{number}", 1) for number in range(257)]
    assert (await send_heartbeat(http, bearer(), *many)).status_code == 400
    body = '{"usage":[' + "0," * 1_000_000 + "0]}"
    assert (await http.post(heartbeat_path(), content=body, headers=bearer())).status_code in (400, 413)
    assert len((await send_heartbeat(http, bearer(), *many[:256])).json()["taken"]) == 256
    assert len(await cluster.events()) == 256


async def test_speech_is_billed_over_a_spent_budget_and_the_response_has_the_budget(
    http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    headers = bearer("tenant_poor_x", **FRAME_HEADERS)
    response = await send_heartbeat(http, headers, stt_usage(audio_ms=60_000), room="tenant_poor_x")
    assert response.json()["budget"] == {"spent_nanousd": 4_800_000, "limit_nanousd": 100, "kind": "monthly"}
    frame = await http.post("/v1/frames", content=jpeg(), headers=headers)
    assert (frame.status_code, frame.json()["error"]["spent_nanousd"]) == (402, 4_800_000)
    again = await send_heartbeat(http, headers, stt_usage(audio_ms=60_000), stt_usage("s2", 1), room="tenant_poor_x")
    assert again.json()["budget"]["spent_nanousd"] == 4_800_080
    assert (await cluster.totals("poor")).settled_nanousd == 4_800_080


async def test_without_a_limit_the_response_has_no_budget(http: httpx.AsyncClient, bearer: Bearer) -> None:
    response = await send_heartbeat(http, bearer(), stt_usage())
    assert response.json()["budget"] is None and (await send_heartbeat(http, bearer())).json()["taken"] == []


async def test_a_suspended_tenant_is_billed_for_its_speech(
    http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    response = await send_heartbeat(http, bearer("tenant_initech_x"), stt_usage(), room="tenant_initech_x")
    assert (response.status_code, response.json()["error"]["code"]) == (403, "tenant_suspended")
    assert (await cluster.totals("initech")).settled_nanousd == 7_120 * 80


async def test_simulated_speech_is_marked_in_the_bill(tmp_path: Path, bearer: Bearer) -> None:
    async with gateway_in_process(tmp_path, vendors={}, simulated_vendors=frozenset(SPEECH)) as (gateway, cluster):
        transport = httpx.ASGITransport(build_routes(gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://router") as http:
            await send_heartbeat(http, bearer(), stt_usage(), tts_usage())
        by_model = {row["model"]: row["simulated"] for row in (await cluster.totals("acme")).by_model}
    assert by_model == {"simulated/nova-3": True, "simulated/eleven_flash_v2_5": True}


async def test_an_event_is_at_the_price_of_its_day_and_counts_when_it_is_written(
    http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    month_ago_s = time.time() - 31 * 86_400
    await send_heartbeat(http, bearer(), stt_usage(occurred_at=month_ago_s))
    (event,) = await cluster.events()
    assert event["opened_at_s"] == month_ago_s and event["price_version"] == "nova-3@2025-02-12"
    assert float(str(event["booked_at_s"])) == pytest.approx(time.time(), abs=60)


async def test_speech_through_the_emulator_is_billed_as_the_emulators_log_counts(
    http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    async with Emulator().running() as emulator:
        async with deepgram_client(emulator.url) as stt_client, elevenlabs_client(emulator.url) as tts_client:
            transcript = await stt_client.listen.v1.media.transcribe_file(request=wav(voice(1_237)), model="nova-3")
            text = "On the last Friday of June."
            _ = [
                piece
                async for piece in tts_client.text_to_speech.stream(
                    "v", text=text, model_id="eleven_flash_v2_5", output_format="pcm_24000"
                )
            ]
    await send_heartbeat(
        http, bearer(), stt_usage(audio_ms=round(transcript.metadata.duration * 1_000)), tts_usage(characters=len(text))
    )
    prices = load_catalogue().prices
    owed = sum(
        prices.of(logged.model, dt.date.today()).cost_nanousd(
            Usage(audio_ms=logged.audio_ms, characters=logged.characters)
        )
        for logged in emulator.journal
    )
    assert (await cluster.totals("acme")).settled_nanousd == owed > 0


def test_a_live_speech_vendor_needs_no_key_in_the_router_and_is_never_called_from_it() -> None:
    row = VendorSettings(api="deepgram", api_key_env="NO_SUCH_KEY")
    check_vendor("deepgram", row)
    with pytest.raises(ConfigurationError, match=r"vendors\.ears\.api"):
        connect("ears", row, SimulationSettings())


async def test_written_usage_survives_a_restart_and_is_not_billed_again(tmp_path: Path, bearer: Bearer) -> None:
    for _ in range(2):
        async with gateway_in_process(tmp_path) as (gateway, cluster):
            transport = httpx.ASGITransport(build_routes(gateway))
            async with httpx.AsyncClient(transport=transport, base_url="http://router") as http:
                assert (await send_heartbeat(http, bearer(), stt_usage(), tts_usage())).json()["taken"] == ["s1", "t1"]
            assert (await cluster.totals("acme")).settled_nanousd == 7_120 * 80 + 21 * 40_000
            await cluster.recorder.seal()


async def test_an_event_recorded_again_after_a_crash_is_settled_once(tmp_path: Path) -> None:
    cluster = InProcessCluster(tmp_path / "journal.db")
    opened, settled = intent(estimate_nanousd=7), settlement(cost_nanousd=7, outcome=Outcome.OK, usage=Usage())
    await cluster.recorder.write([opened])
    for _ in range(2):
        assert (await cluster.record([opened, settled])).month_nanousd == 7
    (event,) = await cluster.events()
    assert (event["cost_nanousd"], event["outcome"]) == (7, "ok")
    await cluster.aclose()


class RemoteCommitLog:
    """The aggregator's side of the outbox: a real commit log that can be unreachable."""

    def __init__(self, cluster: InProcessCluster) -> None:
        self.cluster, self.unreachable, self.loses_reply = cluster, asyncio.Event(), False

    async def write(self, entries: list[Entry]) -> Sequence[Receipt]:
        if self.unreachable.is_set():
            raise ConnectionResetError
        receipts = await self.cluster.recorder.write(entries)
        if self.loses_reply:
            self.loses_reply = False
            raise ConnectionResetError
        return receipts


async def test_events_given_up_on_are_delivered_late_and_sent_again_are_billed_once(tmp_path: Path) -> None:
    remote = RemoteCommitLog(InProcessCluster(tmp_path / "journal.db"))
    outbox = CostOutbox(remote.write, timeout_s=0.2)
    pair: list[Intent | Settlement] = [intent(estimate_nanousd=7), settlement(cost_nanousd=7)]
    remote.unreachable.set()
    with pytest.raises(CostsUnavailable):
        await outbox.record(pair)
    remote.unreachable.clear()
    remote.loses_reply = True
    second = CostOutbox(remote.write, timeout_s=5)
    assert (await second.record(pair)).month_nanousd == 7
    await outbox.aclose()
    assert outbox.waiting == 0 and [event["cost_nanousd"] for event in await remote.cluster.events()] == [7]
    await second.aclose()
    await remote.cluster.aclose()
