"""Write a part of a meeting's record as Markdown, in which no text of a participant is markup."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

from routing.billing.money import dollars
from routing.records.models import (
    Entry,
    MeetingCosts,
    MeetingRecord,
    RecordedAnswer,
    RecordedDescription,
    RecordedUtterance,
)

_MARKUP = re.compile(r"([\\`*_\[\]<>&|~$])")
"""The characters that are markup within a line; no text begins one."""
_SOURCES = {"screen_share": "screen", "camera": "camera"}


def to_markdown(record: MeetingRecord) -> str:
    """Return the part's text; the parts of a record are joined in the order of `joinedAt` and `firstEntry`."""
    sections: list[str] = []
    if record.first_entry == 1:
        sections += [f"# Meeting {_plain(record.meeting_id)}", "\n".join(_head(record)), "## Course"]
    sections += [_line(entry) for entry in record.entries]
    if record.last:
        sections += _end(record)
    return "\n\n".join(sections) + "\n\n"


def _head(record: MeetingRecord) -> Iterator[str]:
    yield f"- Tenant: {_plain(record.tenant_id)}"
    yield f"- Record: {_plain(record.record_id)}, by {_plain(record.agent_name)} in job {_plain(record.job_id)}"
    yield f"- Meeting since {_date(record.started_at)}; this agent from {_date(record.joined_at)}"
    if record.retention_days is not None:
        yield f"- To be kept for {record.retention_days} days"


def _line(entry: Entry) -> str:
    at = f"**{entry.at:%H:%M:%S}"
    match entry:
        case RecordedUtterance():
            return f"{at} {_plain(entry.name)}**{' (chat)' if entry.medium == 'chat' else ''}: {_plain(entry.text)}"
        case RecordedDescription():
            return f"{at} {_SOURCES[entry.source]} of {_plain(entry.name)}**: {_plain(entry.text)}"
        case RecordedAnswer():
            return f"{at} answer to {_plain(entry.name)}**{_state(entry)}: {_plain(entry.text)}{_sources(entry)}"
    price = f", {dollars(entry.cost_nanousd)}" if entry.cost_nanousd else ""
    return f"{at} tool {_plain(entry.name)}**: {_plain(entry.outcome)}, {entry.duration_ms} ms{price}"


def _state(answer: RecordedAnswer) -> str:
    return " (failed)" if answer.failed else " (interrupted)" if answer.interrupted else ""


def _sources(answer: RecordedAnswer) -> str:
    return f" (sources: {', '.join(map(_plain, answer.sources))})" if answer.sources else ""


def _end(record: MeetingRecord) -> Iterator[str]:
    yield f"The agent left at {_date(record.ended_at)}."
    counts = record.left_out.model_dump()
    if left_out := ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items() if count):
        yield f"Left out, because the record was full or its disk failed: {left_out}."
    if record.costs is not None:
        yield f"## Costs of the meeting as of {_date(record.costs.as_of)}"
        yield "\n".join(_cost_table(record.costs))
        yield f"Total: {dollars(record.costs.total_nanousd)}"


def _cost_table(costs: MeetingCosts) -> Iterator[str]:
    yield "| service | model | requests | estimated | cost |"
    yield "|---|---|---|---|---|"
    for row in costs.models:
        names = f"{_plain(row.service)} | {_plain(row.model)}"
        yield f"| {names} | {row.requests} | {row.estimated_requests} | {dollars(row.cost_nanousd)} |"


def _date(time: dt.datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _plain(text: str) -> str:
    """Return a text as one line in which no character is markup."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
