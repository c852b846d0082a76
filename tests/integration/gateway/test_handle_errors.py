"""Every error that Ray or Serve raises at a handle reaches the client in the API's envelope, whole or in a stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import ray.exceptions
from fastapi import Request, Response
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    GetTimeoutError,
    LocalRayletDiedError,
    ObjectLostError,
    OwnerDiedError,
    PendingCallsLimitExceeded,
    RayActorError,
    TaskCancelledError,
    WorkerCrashedError,
)
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    RayServeException,
    ReplicaUnavailableError,
    RequestCancelledError,
)

from deployments.api.app import ApiApp
from deployments.handles import ModelHandle
from deployments.routes import build_routes
from routing.breaker import BreakerSettings
from routing.errors import ProviderRefused
from routing.models import Delta
from routing.telemetry.current_request import RequestEnd
from tests.support.credentials import FRAME_HEADERS, room_token
from tests.support.gateway import gateway_in_process, jpeg

TOKEN = {"authorization": f"Bearer {room_token()}"}
CHAT = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
FRAME = {**TOKEN, "content-type": "image/jpeg", **FRAME_HEADERS}


UNTYPED: Any = ray.exceptions
"""Ray gives these classes' constructors no types."""


def of_task(cause: BaseException) -> BaseException:
    """Return the error that Ray raises for one of the replica's own code."""
    error: BaseException = UNTYPED.RayTaskError("answer", "a traceback", cause).as_instanceof_cause()
    return error


OVERLOADED, LOST, FAILED, TIMEOUT = (
    (503, "overloaded"),
    (503, "replica_lost"),
    (502, "provider_error"),
    (504, "provider_timeout"),
)
TABLE: dict[str, tuple[BaseException, tuple[int, str]]] = {
    "queue full": (BackPressureError(num_queued_requests=9, max_queued_requests=8), OVERLOADED),
    "not deployed": (DeploymentUnavailableError("llm"), OVERLOADED),  # type: ignore[arg-type]
    "too many calls": (PendingCallsLimitExceeded("full"), OVERLOADED),
    "replica died": (ActorDiedError(), LOST),
    "replica unavailable": (ActorUnavailableError("reset", None), LOST),
    "replica gone": (ReplicaUnavailableError("r1"), LOST),
    "actor error": (RayActorError(), LOST),
    "worker crashed": (WorkerCrashedError(), LOST),
    "raylet died": (LocalRayletDiedError(), LOST),
    "node died": (UNTYPED.NodeDiedError("node 7"), LOST),
    "answer lost": (ObjectLostError("ab" * 28, None, "answer"), LOST),
    "owner died": (OwnerDiedError("ab" * 28, None, "answer"), LOST),
    "task cancelled": (TaskCancelledError(), LOST),
    "request cancelled": (RequestCancelledError("r1"), LOST),
    "cancelled by nobody": (asyncio.CancelledError(), LOST),
    "cancelled in the replica": (of_task(asyncio.CancelledError()), LOST),
    "bug in the replica": (of_task(KeyError("a secret")), FAILED),
    "refused by the replica": (of_task(ProviderRefused("no")), (400, "request_refused")),
    "timeout of Ray": (GetTimeoutError("late"), TIMEOUT),
    "system error": (UNTYPED.RaySystemError("broken"), FAILED),
    "any of Serve's": (RayServeException("broken"), FAILED),
    "no exception of Ray": (RuntimeError("a secret"), FAILED),
}


class FailingHandle:
    """A Serve handle that raises one error: as it is called, or in its answer and in its stream."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.at_call = False

    def options(self, **options: object) -> Self:
        return self

    def remote(self, *values: object) -> Self:
        if self.at_call:
            raise self.error
        return self

    def cancel(self) -> None:
        pass

    def __await__(self) -> Generator[None, None, object]:
        yield from asyncio.sleep(0).__await__()
        raise self.error

    async def __anext__(self) -> object:
        raise self.error


class FailingReplica(ModelHandle):
    async def aclose(self) -> None:
        pass


async def sent(client: httpx.AsyncClient) -> list[httpx.Response]:
    """Return the responses to a frame, a chat, a streamed chat and an embedding."""
    return [
        await client.post("/v1/frames", content=jpeg(), headers=FRAME),
        await client.post("/v1/chat/completions", json=CHAT, headers=TOKEN),
        await client.post("/v1/chat/completions", json=CHAT | {"stream": True}, headers=TOKEN),
        await client.post("/v1/embeddings", json={"model": "voyage-multimodal-3.5", "input": "hi"}, headers=TOKEN),
    ]


@pytest.mark.parametrize(("error", "expected"), TABLE.values(), ids=TABLE)
async def test_an_error_at_the_handle_is_answered_in_the_envelope(
    error: BaseException, expected: tuple[int, str], tmp_path: Path
) -> None:
    handle: Any = FailingHandle(error)
    leaf: Any = FailingReplica(handle)
    async with gateway_in_process(tmp_path, leaf=leaf, breakers=BreakerSettings(failures=10_000)) as (gateway, cluster):
        transport = httpx.ASGITransport(build_routes(gateway), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://router") as client:
            answers = await sent(client)
            # A real call raises an exception, never a cancellation.
            handle.at_call = isinstance(error, Exception)
            answers += await sent(client)
        for answer in answers:
            body = answer.json()
            assert (answer.status_code, body["error"]["code"]) == expected, body
            assert set(body["error"]) >= {"message", "type", "code", "param"} and "secret" not in answer.text
        assert await cluster.recorder.open_intents() == 0


async def test_a_stream_that_its_replica_breaks_off_ends_with_an_error_event(tmp_path: Path) -> None:
    class Cut(FailingHandle):
        pieces = 0

        async def __anext__(self) -> object:
            self.pieces += 1
            if self.pieces % 2:
                return Delta(text="Hello")
            raise self.error

    for error in (asyncio.CancelledError(), TaskCancelledError(), ActorDiedError()):
        leaf: Any = FailingReplica(Cut(error))  # type: ignore[arg-type]
        path = tmp_path / type(error).__name__
        async with gateway_in_process(path, leaf=leaf) as (gateway, _):
            transport = httpx.ASGITransport(build_routes(gateway))
            async with httpx.AsyncClient(transport=transport, base_url="http://router") as client:
                answer = await client.post("/v1/chat/completions", json=CHAT | {"stream": True}, headers=TOKEN)
        events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
        assert answer.status_code == 200 and events[-1]["error"]["code"] == "replica_lost"


async def test_a_request_whose_replica_ends_is_answered_in_the_envelope_and_is_no_error_of_the_metrics() -> None:
    ends, sent, waits = list[RequestEnd](), list[dict[str, Any]](), asyncio.Event()
    app = ApiApp(on_end=ends.append)

    @app.endpoint("GET", "/waits")
    async def waiting(request: Request) -> Response:
        waits.set()
        await asyncio.sleep(60)
        raise AssertionError("it was not cancelled")

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/waits", "headers": []}
    serving = asyncio.create_task(app(scope, receive, send))
    await waits.wait()
    serving.cancel()
    await asyncio.wait({serving})
    head, body = sent
    assert serving.cancelled() and head["status"] == 503 and ends[0].status != 503
    assert json.loads(body["body"])["error"]["code"] == "replica_lost"


async def test_a_cancellation_of_nobody_in_an_endpoint_is_answered_in_the_envelope() -> None:
    app = ApiApp()

    @app.endpoint("GET", "/cancelled")
    async def cancelled(request: Request) -> Response:
        raise asyncio.CancelledError

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://router") as client:
        answer = await client.get("/cancelled")
        assert answer.status_code == 503 and answer.json()["error"]["code"] == "replica_lost"
