"""The demo's own sections of its report: the bill, the room with speech, dropped frames, kept frames."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

from cluster.bill import reconcile
from cluster.bill.reconcile import ReconciledTenant, SpeechRow
from cluster.lab.demo.contact_sheet import MAX_DRAWN, SheetFrame, caption, header, thumbnail
from cluster.lab.demo.samples import Counters
from cluster.lab.demo.voice_room import Conversation
from cluster.lab.report.page import EmbeddedImage, ReportTable, Section
from cluster.lab.report.words import count, milliseconds, share
from routing.billing.money import dollars

THUMBNAIL_QUALITY = 75


def bill(rows: Sequence[ReconciledTenant], speech: Sequence[SpeechRow], open_intents: int) -> Section:
    """Return the journal and the backend side by side, to the nano-dollar."""
    tenants = tuple(
        (row.tenant_id, dollars(row.journal_nanousd), dollars(row.backend_nanousd), verdict(row.equal)) for row in rows
    )
    speech_rows = tuple(
        (
            f"{row.service}: {row.model}",
            reconcile.UNITS[row.service],
            *(f"{units:,}" for units in (row.vendor_units, row.journal_units, row.backend_units)),
            dollars(row.journal_nanousd),
            dollars(row.backend_nanousd),
            verdict(row.equal),
        )
        for row in speech
    )
    columns = ("model", "unit", "vendor", "journal", "backend", "journal, $", "backend, $", "verdict")
    settled = "Every attempt was settled." if not open_intents else f"{open_intents} attempts were never settled."
    return Section(
        title="The bill",
        texts=(f"What the journal holds and what the backend was billed, in dollars of simulated spend. {settled}",),
        tables=(
            ReportTable(
                title="Tenants",
                columns=("tenant", "journal", "backend", "verdict"),
                rows=tenants,
                text_columns=_VERDICT_COLUMN[4],
            ),
            ReportTable(title="Speech", columns=columns, rows=speech_rows, text_columns=_VERDICT_COLUMN[8] | {1}),
        ),
    )


_VERDICT_COLUMN = {size: frozenset({size - 1}) for size in (4, 8)}


def voice(conversation: Conversation) -> Section:
    rows = (
        ("questions asked aloud", count(conversation.questions_asked)),
        ("questions heard", count(conversation.questions_heard)),
        ("answers spoken", count(conversation.answers_spoken)),
        ("answers interrupted", count(conversation.interruptions)),
        ("the agent was heard for", milliseconds(conversation.voice_heard_ms)),
        ("from the end of a question to the first word, p50", milliseconds(conversation.first_word_p50_ms)),
        ("from the end of a question to the first sound, p50", milliseconds(conversation.first_sound_p50_ms)),
    )
    return Section(
        title="The room that talked", tables=(ReportTable(title="Voice", columns=("what", "seen"), rows=rows),)
    )


def dropped(rooms: Mapping[str, Counters]) -> Section:
    """Return the repeats of each room, which were neither sent nor paid for."""
    rows = []
    for room, counters in sorted(rooms.items()):
        seen, repeats = int(counters.get("frames_seen", 0)), int(counters.get("frames_repeated", 0))
        counts = (count(int(counters.get(name, 0))) for name in ("frames_kept", "answers", "frames_shed"))
        rows.append((room, count(seen), count(repeats), share(repeats / seen if seen else None), *counts))
    columns = ("room", "seen", "repeats", "dropped", "kept", "answered", "shed")
    return Section(
        title="What was dropped",
        texts=("A repeat shows what the last kept frame showed: a moved pointer, a caret, a clock, codec noise.",),
        tables=(ReportTable(title="Repeats by room", columns=columns, rows=tuple(rows)),),
    )


def kept(room: str, frames: Sequence[SheetFrame], end_s: float) -> Section:
    """Return a room's contact sheet: each kept frame with its reason, price and duration."""
    shown = frames[:MAX_DRAWN]
    end_times_s = [*(frame.at_s for frame in frames[1:]), end_s][: len(shown)]
    pictures = tuple(_picture(frame, until_s) for frame, until_s in zip(shown, end_times_s, strict=True))
    return Section(title=f"Kept in {room}", texts=tuple(header(room, frames)[1:]), pictures=pictures)


def verdict(equal: bool) -> str:
    return "equal" if equal else "DIFFERENT"


def _picture(frame: SheetFrame, until_s: float) -> EmbeddedImage:
    duration = f"stood for {max(until_s - frame.at_s, 0.0):.1f} s"
    return EmbeddedImage(source=_source(frame.jpeg), lines=(*caption(frame), duration))


def _source(jpeg: bytes) -> str:
    """Return a thumbnail as a data URL; an empty one for a frame that cannot be decoded."""
    preview, buffer = thumbnail(jpeg), io.BytesIO()
    if preview is None:
        return "data:,"
    preview.save(buffer, "JPEG", quality=THUMBNAIL_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
