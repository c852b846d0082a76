"""A stream's head and comments leave while its first piece is awaited, and its pieces are closed however it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from deployments import stream_response
from deployments.gateway.models import RoutedAnswer
from deployments.gateway.openai_format import ChatEvents
from deployments.stream_response import COMMENT, EventStream, Piece
from routing.errors import BudgetExceeded, ProviderTimeout, RayroomError
from routing.models import Answer, Delta, Tier
from routing.policy import Decision

END = RoutedAnswer(
    answer=Answer(text="hello", model="m", finish="stop", usage=None),
    decision=Decision(tier=Tier.SIMPLE, targets=("m",), score=0.1, threshold=0.5, reasons=()),
    cost_nanousd=7,
    attempts=1,
    vendor_s=0.25,
)
HELLO = Delta(text="hello", model="m", vendor_s=0.25)
FOREVER_S = 3_600.0
SCOPE: dict[str, Any] = {"type": "http", "asgi": {"spec_version": "2.3"}}


class Pieces:
    """The pieces of an answer with pauses and a failure, which records whether it was closed."""

    def __init__(self, *steps: Piece | RayroomError | float | asyncio.Event) -> None:
        self.steps = steps
        self.closed = False

    async def __call__(self) -> AsyncGenerator[Piece, None]:
        try:
            for step in self.steps:
                if isinstance(step, RayroomError):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    yield step
        finally:
            self.closed = True


class Client:
    """An ASGI client that keeps the messages of a response; it leaves at a message if `leaves_at` matches one."""

    def __init__(self, on_message: Callable[[bytes], None] = lambda _: None) -> None:
        self.messages: list[dict[str, Any]] = []
        self.gone = asyncio.Event()
        self._on_message = on_message

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.messages.append(message)
        self._on_message(message.get("body", b""))

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.messages[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_response, "HEAD_AFTER_S", 0.01)
    monkeypatch.setattr(stream_response, "COMMENT_EVERY_S", 0.01)


async def responded(pieces: Pieces, client: Client) -> None:
    response = await EventStream.begun(pieces(), ChatEvents(with_usage=False))
    await response(SCOPE, client.receive, client.send)


async def test_a_first_piece_in_time_leaves_without_a_comment_and_with_the_vendors_time() -> None:
    client, pieces = Client(), Pieces(HELLO, END)
    await responded(pieces, client)
    assert client.status == 200 and client.headers[b"server-timing"] == b"vendor;dur=250.0"
    assert COMMENT not in client.body and client.body.endswith(b"data: [DONE]\n\n") and pieces.closed


async def test_an_error_before_the_head_is_raised_and_has_its_own_status() -> None:
    pieces = Pieces(BudgetExceeded())
    with pytest.raises(BudgetExceeded):
        await responded(pieces, Client())
    assert pieces.closed


async def test_the_head_and_comments_leave_while_the_first_piece_is_awaited() -> None:
    enough = asyncio.Event()
    client = Client(lambda body: enough.set() if client.body.count(COMMENT) >= 3 else None)
    pieces = Pieces(enough, HELLO, END)
    await responded(pieces, client)
    comments, _, events = client.body.rpartition(COMMENT)
    assert client.status == 200 and client.headers[b"content-type"].startswith(b"text/event-stream")
    assert b"server-timing" not in client.headers
    assert (comments + COMMENT) == COMMENT * client.body.count(COMMENT) and events.startswith(b"data: ")
    assert client.body.endswith(b"data: [DONE]\n\n") and pieces.closed


async def test_an_error_after_the_head_is_the_last_event() -> None:
    begun = asyncio.Event()
    client = Client(lambda body: begun.set())
    await responded(Pieces(begun, ProviderTimeout()), client)
    last = client.body.removesuffix(b"\n\n").rpartition(b"\n\n")[2]
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "provider_timeout"
    assert client.status == 200 and b"[DONE]" not in client.body


async def test_a_client_that_leaves_while_the_first_piece_is_awaited_ends_the_request() -> None:
    pieces = Pieces(FOREVER_S, HELLO, END)
    client = Client(lambda body: client.gone.set() if body == COMMENT else None)
    await responded(pieces, client)
    assert pieces.closed and asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_client_that_left_before_the_head_ends_the_request() -> None:
    pieces, client = Pieces(FOREVER_S, HELLO, END), Client()
    client.gone.set()
    await responded(pieces, client)
    assert pieces.closed and asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_request_that_is_cancelled_before_the_head_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_response, "HEAD_AFTER_S", FOREVER_S)
    pieces = Pieces(FOREVER_S, HELLO, END)
    call = asyncio.create_task(responded(pieces, Client()))
    for _ in range(5):
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait({call})
    assert call.cancelled() and pieces.closed and asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_error_nobody_waits_for_any_more_is_not_logged_as_never_retrieved() -> None:
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    response = await EventStream.begun(Pieces(0.02, ProviderTimeout())(), ChatEvents(with_usage=False))
    await asyncio.sleep(0.05)
    client = Client()
    client.gone.set()
    await response(SCOPE, client.receive, client.send)
    del response
    assert said == []
