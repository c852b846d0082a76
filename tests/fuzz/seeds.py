"""Inputs of each target that are valid or nearly so, from which the fuzzers start."""

from __future__ import annotations

import io
import json
from dataclasses import replace

from PIL import Image

from cluster.aggregator.messages import pack_entries, pack_receipts, pack_records, pack_refusal
from deployments.api.access.dispatch_signature import signed_metadata
from deployments.api.access.room_tokens import issue_token, sign
from routing.errors import CostsUnavailable
from routing.models import Spending
from routing.rooms import parse_room
from tests.support.cost_entries import call_record, intent, settlement
from tests.support.gateway import KEYS, jpeg

_ROOM = parse_room("tenant_acme_standup")
_OTHER_KEYS = replace(KEYS, token_secret="t" * 32)
_USAGE = {"id": "u1", "service": "stt", "model": "nova-3", "audio_ms": 1_000, "occurred_at": 1.0}
_CHAT = {"model": "auto", "messages": [{"role": "user", "content": "What is on the screen?"}], "stream": True}


def seeds() -> dict[str, list[bytes]]:
    """Return the inputs by the name of their target."""
    metadata = '{"tenant_id": "acme", "meeting_id": "standup"}'
    token = sign(issue_token(_ROOM, "job-1", 900.0, 4_000_000_000.0), _OTHER_KEYS)
    return {
        "jpeg": [jpeg(64, 64), jpeg(8, 8)[:-2]],
        "image": [_image(kind) for kind in ("PNG", "WEBP", "GIF", "JPEG")],
        "room_name": [b"tenant_acme_standup", b"tenant_a.b-c_x_y", b"tenant__", b"tenant_acme_standup\n"],
        "job_metadata": [
            metadata.encode(),
            signed_metadata(metadata, _ROOM, "e" * 32, 4_000_000_000.0).encode(),
            b'{"tenant_id": "globex"}',
        ],
        "room_token": [token.encode(), b"a.b.c"],
        "usage_events": [json.dumps({"usage": [_USAGE], "counters": {"frames_seen": 3}}).encode(), b"{}"],
        "bodies": [
            json.dumps(_CHAT).encode(),
            json.dumps({"room": _ROOM.room, "job_id": "job-1", "metadata": metadata}).encode(),
        ],
        "frame_headers": [b"captured-at: 1.5\ntrack: TR_1\nphash: 0123456789abcdef", b"text-density: 0.5"],
        "cost_wire": [
            pack_entries([intent(), settlement()]),
            pack_records([call_record()]),
            pack_receipts([Spending(month_nanousd=1, day_nanousd=1, room_nanousd=1)]),
            pack_refusal(CostsUnavailable(retry_after_s=1.0)),
        ],
        "tools": [
            json.dumps([{"name": "look", "inputSchema": {"type": "object", "properties": {"a": {}}}}]).encode(),
            json.dumps({"servers": [{"name": "shop", "url": "https://a.example/mcp"}], "backend": {}}).encode(),
        ],
    }


def _image(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "white").save(buffer, kind)
    return buffer.getvalue()
