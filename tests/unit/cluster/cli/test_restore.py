"""`rayroom restore` puts a backup in the place of a lost journal, and names the costs that it leaves out."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cluster.cli.main import app
from cluster.costs.journal import Journal
from cluster.costs.journal_reader import read_settled_nanousd
from routing.errors import ConfigurationError
from tests.support.cost_entries import book, intent, seal


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    shipped = Path("serve_config.yaml").read_text("utf-8")
    journal = tmp_path / "data" / "journal.db"
    file.write_text(shipped.replace("journal_path: .rayroom/journal.db", f"journal_path: {journal}"), "utf-8")
    return file


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A backup that was made beside a running journal, with a cost that is sealed, one that is not, and one open."""
    journal, path = Journal(tmp_path / "lost.db"), tmp_path / "backup.db"
    book(journal, "sealed", 1_000)
    seal(journal)
    book(journal, "unsealed", 200)
    with journal.transaction():
        journal.add_intent(intent("open", estimate_nanousd=70), arrived_at_s=120.0, expires_at_s=180.0)
    with closing(sqlite3.connect(journal.path)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
    journal.close()
    return path


def restore(config: Path, backup: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["restore", str(backup), "--config", str(config), *words])


def test_a_backup_is_restored_and_what_it_leaves_out_is_named(config: Path, backup: Path, tmp_path: Path) -> None:
    done = restore(config, backup)
    assert done.exit_code == 0, (done.output, done.exception)
    journal = tmp_path / "data" / "journal.db"
    assert done.stdout.splitlines() == [
        f"{journal} is restored. The lost journal has billed these costs, which this one does not bill:",
        "  1 settled and not sealed, $0.000000200",
        "  1 open, estimated at $0.000000070",
    ]
    restored = Journal(journal)
    book(restored, "after", 4_000)
    # The window of the first cost was sealed before the backup: it is sent again, with its id.
    assert [row.cost_nanousd for row in seal(restored)] == [1_000, 4_000]
    restored.close()
    bill = CliRunner().invoke(app, ["bill", "--config", str(config), "--csv"])
    assert bill.exit_code == 0 and "0.000005200" in bill.stdout


def test_a_shards_backup_is_restored_to_its_own_file(config: Path, backup: Path, tmp_path: Path) -> None:
    assert restore(config, backup, "--shard", "1").exit_code == 0
    assert read_settled_nanousd(tmp_path / "data" / "journal-shard-1.db") == {"acme": 1_200}
    assert not (tmp_path / "data" / "journal.db").exists()


def test_a_journal_in_place_and_a_backup_that_is_none_are_refused(config: Path, backup: Path, tmp_path: Path) -> None:
    assert restore(config, backup).exit_code == 0
    again = restore(config, backup)
    assert isinstance(again.exception, ConfigurationError) and "move its files away first" in again.exception.message
    other = tmp_path / "other.db"
    other.write_text("no journal")
    refused = restore(config, other, "--shard", "2")
    assert isinstance(refused.exception, ConfigurationError) and "cannot be restored" in refused.exception.message
    assert restore(config, tmp_path / "absent.db").exit_code == 2
