"""A file that could not keep the bill is refused at the start, with the setting and the reason."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.costs.journal import Journal, JournalBusy, JournalUnusable
from cluster.costs.storage.journal_file import refuse_network_file_system
from tests.support.cost_entries import book, seal


def refusal(path: Path) -> str:
    with pytest.raises(JournalUnusable) as refused:
        Journal(path)
    assert refused.value.param == "costs.journal_path" and refused.value.message.startswith("costs.journal_path ")
    return str(refused.value.message)


def closed_journal(directory: Path) -> Path:
    """Return the path of a journal with an event."""
    journal = Journal(directory / "journal.db")
    book(journal, "e1", 700)
    seal(journal)
    journal.close()
    return journal.path


def test_a_newer_format_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = closed_journal(tmp_path)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    before = path.read_bytes()
    assert "format 99" in refusal(path)
    assert path.read_bytes() == before


def test_a_usage_unit_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = closed_journal(tmp_path)
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE settled ADD COLUMN video_ms INTEGER NOT NULL DEFAULT 0")
    db.close()
    assert "video_ms" in refusal(path)


def test_a_damaged_page_is_refused(tmp_path: Path) -> None:
    path = closed_journal(tmp_path)
    pages = bytearray(path.read_bytes())
    with sqlite3.connect(path) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'settled'").fetchone()
    db.close()
    pages[(root - 1) * 4_096 : root * 4_096] = os.urandom(4_096)
    path.write_bytes(pages)
    assert "damaged" in refusal(path)


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be read as one" * 100, b"SQLite"])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal.db").write_bytes(content)
    assert "not a database" in refusal(tmp_path / "journal.db")
    assert (tmp_path / "journal.db").read_bytes() == content


def test_another_sqlite_file_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as db:
        db.execute("CREATE TABLE passages (text TEXT)")
    db.close()
    assert "not a cost journal" in refusal(tmp_path / "other.db")


def test_a_folder_that_cannot_be_written_is_refused() -> None:
    # Not even root creates a file there.
    assert "cannot be opened for writing" in refusal(Path("/sys/journal.db"))


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be opened for writing" in refusal(tmp_path / "file" / "journal.db")


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_a_network_file_system_is_refused(kind: str) -> None:
    mounts = [("/", "ext4"), ("/data", kind), ("/data/local", "xfs")]
    with pytest.raises(JournalUnusable, match=f"network file system .{kind}"):
        refuse_network_file_system(Path("/data/journal.db"), mounts)
    refuse_network_file_system(Path("/data/local/journal.db"), mounts)
    refuse_network_file_system(Path("/database/journal.db"), mounts)


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_second_name_of_an_open_journal_is_busy(tmp_path: Path, link: object) -> None:
    journal = Journal(tmp_path / "journal.db")
    assert callable(link)
    link(tmp_path / "alias.db", journal.path)
    with pytest.raises(JournalBusy):
        Journal(tmp_path / "alias.db")
    for file in tmp_path.glob("*-open"):
        file.unlink()
    with pytest.raises(JournalBusy):
        Journal(tmp_path / "journal.db")
    journal.close()


def killed_journal(directory: Path) -> Path:
    """Return the path of a journal whose writer was killed."""
    code = (
        "import os, signal, sys; from pathlib import Path; from cluster.costs.journal import Journal\n"
        "from tests.support.cost_entries import book\n"
        "journal = Journal(Path(sys.argv[1])); book(journal, 'e1', 700); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(directory / "journal.db")], timeout=60)
    return directory / "journal.db"


def test_a_missing_log_of_a_killed_writer_is_refused(tmp_path: Path) -> None:
    path = killed_journal(tmp_path)
    (tmp_path / "journal.db-wal").rename(tmp_path / "kept")
    assert "journal.db-wal is missing" in refusal(path)
    (tmp_path / "kept").rename(tmp_path / "journal.db-wal")
    journal = Journal(path)
    assert journal.spent_nanousd(0.0) == {"acme": 700}
    journal.close()


def test_a_journal_without_a_log_opens_after_a_clean_end_and_as_a_restored_copy(tmp_path: Path) -> None:
    path = closed_journal(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["journal.db"]
    Journal(path).close()
    (tmp_path / "journal.db-open").write_text("1")
    Journal(path).close()


def test_a_folder_in_which_no_file_can_be_made_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = closed_journal(tmp_path)
    # Replaced, because root may write everywhere.
    monkeypatch.setattr(os, "access", lambda folder, mode: Path(folder) != tmp_path)
    assert f"{tmp_path} is not writable" in refusal(path)
    monkeypatch.undo()
    Journal(path).close()
