"""The parsers of bytes that strangers send, each as a function that raises nothing but a bug."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict

from cluster.aggregator.messages import BadMessage, unpack_entries, unpack_receipts, unpack_records
from cluster.backend.tools import called_tool, offered_tools
from deployments.api.access.dispatch_signature import check_signature
from deployments.api.access.room_tokens import Tokens
from deployments.api.body import parse_body
from deployments.api.chat.schemas import ChatRequest
from deployments.api.frame_schemas import FrameBody, parse_frame_headers
from deployments.api.image_size import inspect_image
from deployments.api.jpeg import inspect_jpeg
from deployments.api.room_schemas import Heartbeat, InvalidUsageItem, OpenRoom, SpeechUsageItem
from deployments.tools.listing import list_source
from routing.errors import BackendRefused, BadInput, CostsUnavailable, Forbidden, NotAJpeg, TooLarge, Unauthorized
from routing.rooms import MAX_ROOM_BYTES, check_metadata, parse_room, read_tenant_tools
from routing.tools.record import ToolSource
from tests.support.gateway import KEYS

MAX_PX = 4_194_304
_ROOM = parse_room("tenant_acme_standup")
_DISPATCH_SECRETS = ("d" * 32,)


def jpeg(data: bytes) -> None:
    """A picture that passes has a size within the limit."""
    with suppress(NotAJpeg, TooLarge, BadInput):
        size = inspect_jpeg(data, MAX_PX)
        assert 0 < size.width_px * size.height_px <= MAX_PX


def image(data: bytes) -> None:
    """An inline image of any accepted format."""
    with suppress(NotAJpeg, TooLarge, BadInput):
        inspect_image(data, MAX_PX)


def room_name(data: bytes) -> None:
    """A name that passes is that of its two ids, in one way only."""
    room = data.decode("utf-8", "surrogateescape")
    with suppress(BadInput):
        name = parse_room(room)
        assert name.room == room == f"tenant_{name.tenant_id}_{name.meeting_id}"
        assert "_" not in name.tenant_id and len(room.encode()) <= MAX_ROOM_BYTES


def job_metadata(data: bytes) -> None:
    """Metadata that passes names the tenant of the room, and no forged signature passes."""
    text = data.decode("utf-8", "replace")
    with suppress(BadInput, Forbidden):
        check_metadata(_ROOM, text)
    try:
        check_signature(text, _ROOM, _DISPATCH_SECRETS)
    except (BadInput, Forbidden, Unauthorized):
        return
    raise AssertionError("metadata without a secret was accepted")


def room_token(data: bytes) -> None:
    """No token that was not signed here is accepted."""
    try:
        Tokens(KEYS).read("Bearer " + data.decode("latin-1"))
    except Unauthorized:
        return
    raise AssertionError("a token without a secret was accepted")


def usage_events(data: bytes) -> None:
    """A heartbeat that passes holds usage within its limits, or the reason for which an item is set aside."""
    with suppress(BadInput, TooLarge):
        beat = parse_body(Heartbeat, data)
        for item in beat.usage:
            assert isinstance(item, SpeechUsageItem | InvalidUsageItem)
            if isinstance(item, SpeechUsageItem):
                assert item.audio_ms >= 0 and item.characters >= 0


def bodies(data: bytes) -> None:
    """The bodies of the other routes."""
    for kind in (OpenRoom, ChatRequest, FrameBody):
        with suppress(BadInput, TooLarge):
            parse_body(kind, data)


def frame_headers(data: bytes) -> None:
    """The headers of a frame, one a line."""
    pairs = (line.partition(":") for line in data.decode("latin-1").split("\n"))
    with suppress(BadInput):
        parse_frame_headers({f"x-frame-{name.strip().lower()}": value.strip() for name, _, value in pairs})


def cost_wire(data: bytes) -> None:
    """The three kinds of messages between routers, model replicas and the aggregator."""
    with suppress(BadMessage):
        unpack_entries(data)
    with suppress(BadMessage):
        unpack_records(data)
    with suppress(BadMessage, CostsUnavailable):
        unpack_receipts(data)


def tools(data: bytes) -> None:
    """The tools that a server or the backend offers are checked or left out; a record of tools likewise."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return
    read_tenant_tools(value)
    called_tool(value)
    with suppress(BackendRefused):
        found = list_source("shop", ToolSource(), offered_tools(value))
        assert all(tool.name.startswith("shop_") and len(tool.name) <= 64 for tool in found.tools)
        json.dumps([asdict(tool) for tool in found.tools], ensure_ascii=False, allow_nan=False).encode()


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        jpeg,
        image,
        room_name,
        job_metadata,
        room_token,
        usage_events,
        bodies,
        frame_headers,
        cost_wire,
        tools,
    )
}
