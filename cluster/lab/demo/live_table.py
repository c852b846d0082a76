"""Draw the demo's live table from the app's usage route."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from cluster.lab.stack.plan import VOICE_ROOM
from routing.billing.money import dollars

SIMULATED = "SIMULATED MODELS: made-up answers and costs; real rooms, frames, Ray and books."
_VOICE_COUNTS = ("hearing_utterances", "voice_answers", "voice_interruptions")
_COUNTS = ("frames_seen", "frames_kept", "frames_repeated", "frames_shed", "answers")


def draw(usages: Mapping[str, Mapping[str, Any]], remaining_s: float) -> Group:
    """Return the table of one moment: `usages` holds each tenant's response of `/v1/tenants/{id}/usage`."""
    rooms = [room for usage in usages.values() for room in usage.get("rooms", [])]
    screens = [room for room in rooms if room["room"] != VOICE_ROOM]
    voice_rooms = [room for room in rooms if room["room"] == VOICE_ROOM]
    return Group(_rooms(screens, remaining_s), _voice(voice_rooms), _costs(usages), Text(SIMULATED, style="yellow"))


def _rooms(rooms: Iterable[Mapping[str, Any]], remaining_s: float) -> Table:
    table = Table(title=f"rooms, {remaining_s:.0f} s to go", title_justify="left", box=SIMPLE_HEAD, padding=0)
    table.add_column("room", no_wrap=True)
    for name in ("seen", "kept", "repeats", "shed", "answers", "p50 ms", "p95 ms"):
        table.add_column(name, justify="right")
    for room in sorted(rooms, key=lambda room: str(room["room"])):
        counters = room["counters"]
        counts = [str(int(counters.get(name, 0))) for name in _COUNTS]
        table.add_row(str(room["room"]), *counts, *(_ms(counters, name) for name in ("answer_p50_ms", "answer_p95_ms")))
    return table


def _voice(rooms: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(title="voice room (emulated ears and voice)", title_justify="left", box=SIMPLE_HEAD, padding=0)
    table.add_column("room", no_wrap=True)
    for name in ("heard", "answered", "cut", "word p50 ms", "sound p50 ms"):
        table.add_column(name, justify="right")
    for room in rooms:
        counters = room["counters"]
        counts = [str(int(counters.get(name, 0))) for name in _VOICE_COUNTS]
        delays = (_ms(counters, name) for name in ("voice_first_word_p50_ms", "voice_first_sound_p50_ms"))
        table.add_row(str(room["room"]), *counts, *delays)
    return table


def _costs(usages: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(title="costs by tenant (simulated)", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("tenant", "attempts", "settled", "at the backend"):
        table.add_column(name, justify="left" if name == "tenant" else "right")
    for tenant, usage in sorted(usages.items()):
        settled, sent = int(usage.get("settled_nanousd", 0)), int(usage.get("sent_nanousd", 0))
        table.add_row(tenant, str(usage.get("requests", 0)), dollars(settled), dollars(sent))
    return table


def _ms(counters: Mapping[str, float], name: str) -> str:
    return f"{counters[name]:.0f}" if name in counters else "-"
