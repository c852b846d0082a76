"""A journal of an older format keeps its money, its windows and its open intents."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cluster.costs.journal import Journal, JournalUnusable
from cluster.costs.models import Knowledge
from cluster.costs.storage.schema import USAGE, VERSION
from tests.support.cost_entries import book, seal, settlement

UNVERSIONED = """
CREATE TABLE journal (one INTEGER PRIMARY KEY CHECK (one = 1), journal_id TEXT NOT NULL);
CREATE TABLE events (
    event_id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, room TEXT NOT NULL, service TEXT NOT NULL, vendor TEXT NOT NULL,
    model TEXT NOT NULL, price_version TEXT NOT NULL, simulated INTEGER NOT NULL, estimate_nanousd INTEGER NOT NULL,
    opened_at_s REAL NOT NULL, expires_at_s REAL NOT NULL,
    outcome TEXT, cost_nanousd INTEGER, estimated INTEGER, usage TEXT, settled_at_s REAL, flush_id TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX open_events ON events (expires_at_s) WHERE outcome IS NULL;
CREATE INDEX unsealed_events ON events (tenant_id) WHERE outcome IS NOT NULL AND flush_id IS NULL;
CREATE TABLE flushes (
    flush_id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, service TEXT NOT NULL, model TEXT NOT NULL,
    seq INTEGER NOT NULL,
    window_start_s REAL NOT NULL, window_end_s REAL NOT NULL, requests INTEGER NOT NULL, usage TEXT NOT NULL,
    cost_nanousd INTEGER NOT NULL, cumulative_nanousd INTEGER NOT NULL, price_version TEXT NOT NULL,
    simulated INTEGER NOT NULL, estimated_requests INTEGER NOT NULL, sent_at_s REAL, refused TEXT,
    UNIQUE (tenant_id, service, model, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX unsent_flushes ON flushes (window_end_s) WHERE sent_at_s IS NULL AND refused IS NULL;
INSERT INTO journal VALUES (1, '11111111-1111-4111-8111-111111111111');
INSERT INTO flushes VALUES
    ('f1', 'acme', 'llm', 'm', 1, 100, 110, 2, '{"input_tokens": 30}', 300, 300, 'p', 0, 0, 111, NULL),
    ('f2', 'acme', 'llm', 'm', 2, 110, 120, 1, '{"audio_ms": 9}', 50, 350, 'p', 0, 1, NULL, NULL);
INSERT INTO events VALUES
    ('z', 'acme', 'r', 'llm', 'v', 'm', 'p', 0, 900, 90, 150, 'ok', 100, 0, '{"input_tokens": 10}', 101, 'f1'),
    ('y', 'acme', 'r', 'llm', 'v', 'm', 'p', 0, 900, 90, 150, 'ok', 200, 0, '{"input_tokens": 20}', 102, 'f1'),
    ('x', 'acme', 'r', 'llm', 'v', 'm', 'p', 0, 900, 90, 150, 'expired', 50, 1, '{"audio_ms": 9}', 112, 'f2'),
    ('w', 'acme', 'r', 'llm', 'v', 'm', 'p', 0, 900, 90, 150, 'ok', 7, 1, '{"output_tokens": 3}', 121, NULL),
    ('v', 'acme', 'r', 'llm', 'v', 'm', 'p', 0, 900, 90, 150, NULL, NULL, NULL, NULL, NULL, NULL);
"""


@pytest.fixture
def unversioned(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        db.executescript(UNVERSIONED)
    return tmp_path / "journal.db"


def test_a_journal_without_a_version_is_migrated(unversioned: Path) -> None:
    journal = Journal(unversioned)
    assert journal._db.execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert journal.journal_id == "11111111-1111-4111-8111-111111111111"
    with closing(journal.reader()) as reader:
        totals = reader.totals("acme")
    assert (totals.settled_nanousd, totals.sent_nanousd, totals.reserved_nanousd) == (357, 300, 900)
    assert (totals.requests, totals.estimated_requests) == (4, 2)
    journal.close()


def test_a_migrated_journal_sends_old_windows_unchanged_and_continues_their_sequence(unversioned: Path) -> None:
    journal = Journal(unversioned)
    old, new = seal(journal)
    assert (old.flush_id, old.seq, old.cost_nanousd, old.usage) == ("f2", 2, 50, {"audio_ms": 9})
    assert (new.seq, new.cost_nanousd, new.cumulative_nanousd, new.usage) == (3, 7, 357, {"output_tokens": 3})
    journal.close()


def test_open_and_sealed_events_of_an_older_format_settle_as_new_ones(unversioned: Path) -> None:
    journal = Journal(unversioned)
    with journal.transaction():
        settled = journal.settle(settlement("v", 400), Knowledge.VENDOR_FINAL, 130.0)
        corrected = journal.settle(settlement("x", 20), Knowledge.VENDOR_FINAL, 130.0)
        assert journal.settle(settlement("y", 1), Knowledge.VENDOR_FINAL, 130.0) is None
    assert settled is not None and (settled.released_nanousd, settled.added_nanousd) == (900, 400)
    assert corrected is not None and corrected.corrected and corrected.added_nanousd == -30
    journal.close()


def test_a_migration_that_fails_changes_nothing(unversioned: Path) -> None:
    with closing(sqlite3.connect(unversioned)) as db:
        db.execute("UPDATE events SET usage = 'no json' WHERE event_id = 'z'")
        db.commit()
    with pytest.raises(JournalUnusable, match="malformed JSON"):
        Journal(unversioned)
    with closing(sqlite3.connect(unversioned)) as db:
        assert db.execute("SELECT count(*) FROM events").fetchone() == (5,)


def test_a_usage_unit_that_is_newer_than_the_file_becomes_a_column(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    book(journal, "e1", 700)
    journal.close()
    with closing(sqlite3.connect(journal.path)) as db:
        for table in ("settled", "flushes"):
            db.execute(f"ALTER TABLE {table} DROP COLUMN {USAGE[-1]}")
        db.commit()
    reopened = Journal(journal.path)
    book(reopened, "e2", 30)
    (window,) = seal(reopened)
    assert window.cost_nanousd == 730
    reopened.close()
