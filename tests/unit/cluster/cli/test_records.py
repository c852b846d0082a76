"""The records on a machine are listed without their content, and deleted by tenant and by meeting."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from room_agent.records.spool import PARKED_SUFFIX, RecordSpool, note
from tests.support.meeting_record import utterance
from tests.unit.room_agent.records.test_spool import HEADER, JOB

SECRET = "the vault opens at noon"


def spool_in(directory: Path, room: str) -> RecordSpool:
    spool = RecordSpool.create(directory, replace(JOB, room=room), HEADER)
    spool.add("utterance", utterance(SECRET))
    return spool


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Path]:
    """A directory with a running, a waiting and a parked record, the last of another tenant."""
    for number, room in enumerate(("tenant_acme_monday", "tenant_globex_review")):
        spool = spool_in(tmp_path, room)
        spool.close(delete=False)
        os.utime(spool.path, (number, number))
        if number:
            note(spool.path, "parked", 5.0, "BAD_REQUEST")
            spool.path.rename(spool.path.with_suffix(PARKED_SUFFIX))
    running = spool_in(tmp_path, "tenant_acme_tuesday")
    yield tmp_path
    running.close(delete=False)


def listed(files: Path, *options: str) -> tuple[int, dict[str, str]]:
    result = CliRunner().invoke(app, ["records", "--dir", str(files), "--json", *options])
    assert SECRET not in result.output
    return result.exit_code, {one["room"]: one["state"] for one in json.loads(result.output)}


def test_each_record_is_listed_with_its_state_and_without_its_content(files: Path) -> None:
    states = {"tenant_acme_monday": "waiting", "tenant_globex_review": "parked", "tenant_acme_tuesday": "running"}
    assert listed(files) == (1, states)
    assert listed(files, "--tenant", "acme")[0] == 0
    table = CliRunner().invoke(app, ["records", "--dir", str(files)]).output
    assert "BAD_REQUEST" in table and "3 records" in table and SECRET not in table


def test_waiting_records_are_deleted_by_meeting_and_by_tenant_but_no_running_one(files: Path) -> None:
    def delete(*arguments: str) -> None:
        result = CliRunner().invoke(app, ["records", "delete", *arguments, "--here", "--dir", str(files)])
        assert result.exit_code == 0, result.output

    delete("acme", "--meeting", "friday")
    delete("globex", "--meeting", "monday")
    assert len(listed(files)[1]) == 3
    delete("acme")
    assert listed(files) == (1, {"tenant_globex_review": "parked", "tenant_acme_tuesday": "running"})
    delete("globex", "--meeting", "review")
    assert listed(files) == (0, {"tenant_acme_tuesday": "running"})


def test_records_are_deleted_at_the_configured_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, str | None]] = []

    async def delete_at_backend(_: object, tenant_id: str, meeting_id: str | None) -> int:
        called.append((tenant_id, meeting_id))
        return 3

    monkeypatch.setattr("cluster.cli.records._delete_at_backend", delete_at_backend)
    result = CliRunner().invoke(app, ["records", "delete", "acme", "--meeting", "review", "--dir", str(tmp_path)])
    assert "3 records are deleted at the backend." in result.output and called == [("acme", "review")]
