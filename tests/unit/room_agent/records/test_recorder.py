"""A recorder keeps nothing until its tenant wants a record, and then every kind of entry."""

from __future__ import annotations

import json
import os
from pathlib import Path

from structlog.testing import capture_logs

from room_agent.core.models import FrameDescribed, KeptFrame, SharedTrack
from room_agent.core.router_client import Description, RouterClient
from room_agent.core.router_transport import HttpTransport
from room_agent.records.recorder import MeetingRecorder, MeetingRoom
from room_agent.records.recovery import RecordRecovery
from room_agent.records.spool import read_spool, spooled_paths
from routing.models import TenantAgent
from routing.units import DAY_S
from tests.support.manual_clock import ManualClock
from tests.unit.room_agent.records.test_spool import JOB

TRACK = SharedTrack(sid="TR_1", source="screen_share", shared_by="Bob", identity="bob")
FRAME = KeptFrame(jpeg=b"\xff\xd8picture", headers={}, why="first", captured_at_s=1_005.0)
ANSWER = Description(description="A chart.", model="m", tier="simple", cost_nanousd=7, simulated=True)
REPORT = TenantAgent(record="report", retention_days=30, names=("Ada",))


def recorder(directory: Path, clock: ManualClock) -> MeetingRecorder:
    return MeetingRecorder(directory, JOB, MeetingRoom(sid="RM_1", created_at_s=990.0), "Rayroom", clock)


def record_all(one: MeetingRecorder) -> None:
    one.add_utterance("ann", "Ann", "y" * 9_000, "chat")
    one.add_description(FrameDescribed(track=TRACK, frame=FRAME, answer=ANSWER, took_s=0.5))
    one.add_description(FrameDescribed(track=TRACK, frame=FRAME, answer=ANSWER, took_s=0.0, reused=True))
    one.add_answer("ann", "Ann", "It is 7.", ("a.md",), 2.0, interrupted=False, failed=False)
    one.add_tool_call("look_up", "timeout", 1.25)


async def test_without_the_setting_nothing_is_written(tmp_path: Path) -> None:
    one = recorder(tmp_path, ManualClock(1_000.0))
    await one.begin(TenantAgent())
    record_all(one)
    await one.aclose(None)
    assert os.listdir(tmp_path) == [] and one.report() == {}


async def test_every_kind_of_entry_is_written_without_the_frame(tmp_path: Path) -> None:
    one = recorder(tmp_path, ManualClock(1_000.0))
    await one.begin(REPORT)
    record_all(one)
    assert one.report() == {"record_entries": 4, "record_left_out": 0}
    await one.aclose(None)
    (path,) = spooled_paths(tmp_path)
    record = read_spool(path)
    assert record is not None and b"picture" not in path.read_bytes()
    assert (record.header.agent_name, record.header.started_at_s, record.ended_at_s) == ("Ada", 990.0, 1_000.0)
    said, described, answered, called = map(json.loads, record.entries)
    assert len(said["text"]) == 8_000 and said["medium"] == "chat"
    assert described["at"] == "1970-01-01T00:16:45.000Z" and described["costNanousd"] == 7
    assert answered["askedAt"] == "1970-01-01T00:16:38.000Z" and answered["sources"] == ["a.md"]
    assert (called["durationMs"], called["outcome"]) == (1_250, "timeout")


async def test_an_entry_with_a_wrong_field_is_left_out_and_said(tmp_path: Path) -> None:
    one = recorder(tmp_path, ManualClock(1_000.0))
    await one.begin(REPORT)
    with capture_logs() as lines:
        one.add_tool_call("look_up", "ok", 0.1, cost_nanousd=-5)
    assert lines[-1]["field"] == "cost_nanousd" and "-5" not in str(lines)
    assert one.report() == {"record_entries": 0, "record_left_out": 1}
    await one.aclose(None)


async def test_a_directory_that_cannot_be_written_leaves_the_meeting_without_a_record(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    one = recorder(tmp_path / "file", ManualClock(1_000.0))
    with capture_logs() as lines:
        await one.begin(REPORT)
    assert [line["event"] for line in lines] == ["meeting record not begun"]
    record_all(one)
    assert one.report() == {}
    await one.aclose(None)


async def test_a_record_that_waited_longer_than_its_retention_is_deleted_unsent(tmp_path: Path) -> None:
    clock = ManualClock(1_000.0)
    one = recorder(tmp_path, clock)
    await one.begin(REPORT)
    await one.aclose(None)
    clock.now_s += 30 * DAY_S + 1

    def no_router(_: object) -> None:
        raise AssertionError("an expired record is sent")

    assert await RecordRecovery(tmp_path, no_router, clock).recover()  # type: ignore[arg-type]
    assert spooled_paths(tmp_path) == []


async def test_the_record_of_a_living_job_is_left_alone(tmp_path: Path) -> None:
    one = recorder(tmp_path, ManualClock(1_000.0))
    await one.begin(REPORT)

    def no_router(_: object) -> None:
        raise AssertionError("the record of a living job is sent")

    assert await RecordRecovery(tmp_path, no_router, ManualClock(1_000.0)).recover()  # type: ignore[arg-type]
    assert len(spooled_paths(tmp_path)) == 1
    await one.aclose(None)


async def test_a_file_that_cannot_be_recovered_holds_up_no_other(tmp_path: Path) -> None:
    clock = ManualClock(1_000.0)
    for _ in range(2):
        one = recorder(tmp_path, clock)
        await one.begin(REPORT)
        await one.aclose(None)
    broken, _ = spooled_paths(tmp_path)
    # Another version's, or a damaged one: its retention is a text.
    broken.write_bytes(broken.read_bytes().replace(b'"retention_days":30', b'"retention_days":"30"'))
    os.utime(broken, (1.0, 1.0))
    clock.now_s += 30 * DAY_S + 1
    with capture_logs() as lines:
        assert not await RecordRecovery(tmp_path, lambda _: None, clock).recover()  # type: ignore[arg-type, return-value]
    assert spooled_paths(tmp_path) == [broken]
    assert (lines[0]["event"], lines[0]["file"]) == ("meeting record recovery failed", broken.name)


async def test_a_worker_that_ends_logs_the_number_of_records_that_are_left(tmp_path: Path) -> None:
    clock = ManualClock(1_000.0)
    one = recorder(tmp_path, clock)
    await one.begin(REPORT)
    await one.aclose(None)
    away = HttpTransport("http://127.0.0.1:9")
    recovery = RecordRecovery(tmp_path, lambda job: RouterClient(away, "k", job.room, job.job_id, job.metadata), clock)
    with capture_logs() as lines:
        await recovery.finish(5.0)
    assert lines[-1] == {"event": "meeting records left unsent", "records": 1, "log_level": "error"}
    await away.aclose()
