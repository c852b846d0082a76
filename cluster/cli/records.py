"""`rayroom records`: list the records of meetings on this machine, and delete records here and at the backend."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cluster.check.terminal import cell
from cluster.config.settings import BackendSettings
from cluster.config.validate import check_file
from routing.rooms import parse_room

app = typer.Typer(help="List and delete the records of meetings.")

Files = Annotated[
    Path, typer.Option("--dir", envvar="RAYROOM_USAGE_DIR", help="The directory of the room agents' files.")
]
FILES = Path(".rayroom/agent")
Tenant = Annotated[str | None, typer.Option(help="Only the records of this tenant.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRecord:
    """A record that is on this machine: of a running meeting, waiting to be sent, or parked after a refusal."""

    state: str
    room: str
    job_id: str
    began: str
    entries: int
    bytes: int
    reason: str


@app.callback(invoke_without_command=True)
def records(
    context: typer.Context,
    files: Files = FILES,
    tenant: Tenant = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the records on this machine, without any content: run it where room agents run.

    A parked record was refused by the backend, with the code that is shown. Room agents send it again once an hour. The
    exit status is 1 while one is parked.
    """
    if context.invoked_subcommand is not None:
        return
    listed = [record for _, record in read_records(files, tenant)]
    if as_json:
        print(json.dumps([asdict(record) for record in listed], indent=2))
    else:
        show(listed, Console() if sys.stdout.isatty() else Console(width=200))
    raise typer.Exit(1 if any(record.state == "parked" for record in listed) else 0)


@app.command()
def delete(
    tenant: Annotated[str, typer.Argument(help="The tenant of the records to delete.")],
    meeting: Annotated[str | None, typer.Option(help="Only the records of this meeting.")] = None,
    files: Files = FILES,
    config: Annotated[Path, typer.Option(help="The Serve configuration that names the backend.")] = Path(
        "serve_config.yaml"
    ),
    here: Annotated[bool, typer.Option("--here", help="Delete on this machine only, and call no backend.")] = False,
) -> None:
    """Delete a tenant's records, or those of one meeting: at the backend, and the ones that wait on this machine.

    Records that wait on other machines, and those of running meetings that have begun already, are deleted when their
    agents send them.
    """
    if not here:
        deleted = asyncio.run(_delete_at_backend(check_file(config).backend, tenant, meeting))
        print(f"{deleted} records are deleted at the backend.")
    print(f"{delete_waiting(files, tenant, meeting)} records that waited are deleted on this machine.")


def read_records(files: Path, tenant_id: str | None) -> Iterator[tuple[Path, WaitingRecord]]:
    """Yield the records below a directory of room agents' files, the oldest first, and their files."""
    from room_agent.records.spool import PARKED_SUFFIX, read_spool, spooled_paths
    from room_agent.usage.job_file import lock_dead

    for path in spooled_paths(files):
        with lock_dead(path) as is_dead:
            record = read_spool(path) if path.exists() else None
        if record is None or (tenant_id is not None and not _is_of(record.job.room, tenant_id, None)):
            continue
        state = "parked" if path.suffix == PARKED_SUFFIX else "waiting" if is_dead else "running"
        yield (
            path,
            WaitingRecord(
                state=state,
                room=record.job.room,
                job_id=record.job.job_id,
                began=dt.datetime.fromtimestamp(record.header.joined_at_s, dt.UTC).isoformat(timespec="seconds"),
                entries=len(record.entries),
                bytes=path.stat().st_size,
                reason=record.parked[1] if record.parked is not None else "",
            ),
        )


def delete_waiting(files: Path, tenant_id: str, meeting_id: str | None) -> int:
    """Delete the files of ended jobs of a tenant or of one meeting; return how many."""
    from room_agent.usage.job_file import lock_dead

    deleted = 0
    for path, record in read_records(files, tenant_id):
        with lock_dead(path) as is_dead:
            if is_dead and _is_of(record.room, tenant_id, meeting_id):
                path.unlink()
                deleted += 1
    return deleted


def show(listed: list[WaitingRecord], console: Console) -> None:
    """Print the records as a table."""
    table = Table("state", "room", "job", "begun", "entries", "bytes", "reason")
    for one in listed:
        table.add_row(one.state, cell(one.room), one.job_id, one.began, str(one.entries), str(one.bytes), one.reason)
    if listed:
        console.print(table)
    console.print(f"{len(listed)} records")


async def _delete_at_backend(settings: BackendSettings, tenant_id: str, meeting_id: str | None) -> int:
    # Where only the agent is installed, the list works without the backend's client.
    from cluster.backend.factory import check_backend, connect_backend

    check_backend(settings, os.environ)
    backend = connect_backend(settings)
    try:
        return await backend.delete_records(tenant_id, meeting_id)
    finally:
        await backend.aclose()


def _is_of(room: str, tenant_id: str, meeting_id: str | None) -> bool:
    name = parse_room(room)
    return name.tenant_id == tenant_id and meeting_id in (None, name.meeting_id)
