"""One trace goes from an agent's frame or question through router and attempt to the vendor call, without content."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai
from opentelemetry.trace import SpanKind, StatusCode

from deployments.common.settings import SimulationSettings
from deployments.routes import build_routes
from room_agent.conversation.llm import RouterLlm
from room_agent.core.counters import Counters
from room_agent.core.models import SharedTrack
from room_agent.core.router_client import RouterClient
from room_agent.core.router_transport import HttpTransport
from room_agent.video.events import FrameEvents
from room_agent.video.frame_gate import FrameGate, pack_frame
from room_agent.video.rate_control import RateControl
from room_agent.video.uploader import FrameUploader
from routing.telemetry.tracing import current_traceparent, task_span
from tests.support.asgi_transport import AsgiTransport
from tests.support.credentials import room_token
from tests.support.gateway import KEYS, gateway_in_process, served
from tests.support.recorded_spans import RecordedSpans, attributes, recorded_spans
from tests.support.screens import slide

TRACK = SharedTrack(sid="TR_1", source="screen_share", shared_by="Ann", identity="ann")
SECRET = "the figures of the merger"
CHAT = {"messages": [{"role": "user", "content": SECRET}], "model": "simple"}
KNOWN_NAMES = {value for name, value in vars(gen_ai).items() if name.startswith("GEN_AI_") and isinstance(value, str)}


@pytest.fixture
def spans() -> Iterator[RecordedSpans]:
    with recorded_spans() as spans:
        yield spans


def texts(spans: tuple[ReadableSpan, ...]) -> str:
    return " ".join(
        " ".join([span.name, *map(str, attributes(span).values()), *(event.name for event in span.events)])
        for span in spans
    )


async def test_a_frame_of_the_agent_is_one_trace_down_to_the_vendor_call(tmp_path: Path, spans: RecordedSpans) -> None:
    async with gateway_in_process(tmp_path) as (gateway, cluster):
        transport = AsgiTransport(build_routes(gateway))
        client = RouterClient(transport, KEYS.agent[0], "tenant_acme_standup", "job-1", '{"tenant_id": "acme"}')
        await client.open()
        opening = spans.all
        gate, planes = FrameGate(), slide("Merger", (SECRET,))
        events = FrameEvents()
        uploader = FrameUploader(TRACK, client, RateControl(1.0), Counters(), events, gate.forget, time.monotonic)
        uploader.offer(pack_frame(planes, gate.offer(planes, 0.0), TRACK.sid, TRACK.source, 640, time.time()))
        uploader.end()
        await uploader.run()
        (event,) = await cluster.events()
    found = spans.all[len(opening) :]
    assert len({span.context.trace_id for span in found if span.context}) == 1
    model = "gemini-3.5-flash-lite"
    assert [span.name for span in found] == [f"chat {model}", f"attempt {model}", "POST /v1/frames", "frame"]
    vendor, attempt, server, frame = found
    for child, parent in ((vendor, attempt), (attempt, server), (server, frame)):
        assert child.parent and parent.context and child.parent.span_id == parent.context.span_id
    assert frame.parent is None and (vendor.kind, server.kind) == (SpanKind.CLIENT, SpanKind.SERVER)
    assert attributes(attempt)["rayroom.event_id"] == event["event_id"]
    assert attributes(attempt)["rayroom.cost_nanousd"] == event["cost_nanousd"]
    assert attributes(server)["rayroom.request_id"] == event["request_id"]


async def test_a_question_of_the_agent_continues_its_trace_over_http(tmp_path: Path, spans: RecordedSpans) -> None:
    async with gateway_in_process(tmp_path) as (gateway, _), served(gateway) as url:
        transport = HttpTransport(url)
        router = RouterClient(transport, KEYS.agent[0], "tenant_acme_standup", "job-1", '{"tenant_id": "acme"}')
        await router.open()
        opening = len(spans.all)
        llm = RouterLlm(router, url)
        with task_span("question"):
            words = [str(word) async for word in llm.answer([{"role": "user", "content": SECRET}])]
        await llm.aclose()
        await transport.aclose()
    assert words and current_traceparent() == ""
    found = spans.all[opening:]
    assert len({span.context.trace_id for span in found if span.context}) == 1
    assert {span.name.partition(" ")[0] for span in found} == {"question", "POST", "attempt", "chat"}
    assert SECRET not in texts(spans.all) and "".join(words) not in texts(spans.all)


async def test_spans_have_the_names_of_the_semantic_conventions_and_no_content(
    tmp_path: Path, spans: RecordedSpans
) -> None:
    async with gateway_in_process(tmp_path) as (gateway, _):
        transport = httpx.ASGITransport(build_routes(gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://router") as http:
            bearer = {"authorization": f"Bearer {room_token()}"}
            answered = await http.post("/v1/chat/completions", json=CHAT, headers=bearer)
            await http.post("/v1/embeddings", json={"input": SECRET}, headers=bearer)
    used = {name for span in spans.all for name in attributes(span)}
    assert {name for name in used if name.startswith("gen_ai.")} <= KNOWN_NAMES
    call = attributes(spans.named("chat "))
    assert call["gen_ai.operation.name"] == "chat" and call["gen_ai.provider.name"] in ("openai", "gcp.gemini")
    assert call["gen_ai.usage.input_tokens"] == answered.json()["usage"]["prompt_tokens"]
    assert call["gen_ai.response.finish_reasons"] == ("stop",)
    assert attributes(spans.named("embeddings "))["gen_ai.operation.name"] == "embeddings"
    assert SECRET not in texts(spans.all) and "acme" not in texts(spans.all)


async def test_failed_attempts_are_siblings_with_the_class_of_their_error(tmp_path: Path, spans: RecordedSpans) -> None:
    failing = SimulationSettings(seed=7, speed=10_000, failures={"gpt-6-luna": 1.0})
    async with gateway_in_process(tmp_path, simulation=failing) as (gateway, _):
        transport = httpx.ASGITransport(build_routes(gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://router") as http:
            bearer = {"authorization": f"Bearer {room_token()}"}
            answered = await http.post("/v1/chat/completions", json={**CHAT, "stream": True}, headers=bearer)
    assert answered.status_code == 200
    attempts = [span for span in spans.all if span.name.startswith("attempt ")]
    assert len({span.parent.span_id for span in attempts if span.parent}) == 1
    errors = [attributes(span).get("error.type") for span in attempts]
    assert errors[-1] is None and set(errors[:-1]) == {"provider_overloaded"}
    assert attempts[0].status.status_code is StatusCode.ERROR and attempts[0].status.description is None
    assert not [event for span in spans.all for event in span.events if event.name == "exception"]


async def test_a_callers_broken_traceparent_begins_a_trace_of_its_own(tmp_path: Path, spans: RecordedSpans) -> None:
    async with gateway_in_process(tmp_path) as (gateway, _):
        transport = httpx.ASGITransport(build_routes(gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://router") as http:
            for header in ("00-" + "0" * 32 + "-" + "1" * 16 + "-01", "x" * 5_000, "ü"):
                sent = {b"traceparent": header.encode(), b"authorization": b"Bearer no"}
                assert (await http.post("/v1/rooms", json={}, headers=sent)).status_code == 401
    assert len(spans.all) == 3 and all(span.parent is None for span in spans.all)


async def test_without_a_tracer_a_trace_passes_through() -> None:
    given = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    with task_span("anything", parent=given) as span:
        assert span.traceparent == current_traceparent() == given
