"""Store the coverage of call records, for the next process. Holds its SQL."""

from __future__ import annotations

import json
import sqlite3

from cluster.costs.record_coverage import SavedCoverage

_SCHEMA = """
CREATE TABLE IF NOT EXISTS record_coverage (
    one INTEGER PRIMARY KEY CHECK (one = 1), since_s REAL NOT NULL, replicas TEXT NOT NULL
) STRICT
"""


class CoverageTable:
    """The coverage as it was last saved."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        db.execute(_SCHEMA)

    def load(self) -> SavedCoverage | None:
        row = self._db.execute("SELECT since_s, replicas FROM record_coverage").fetchone()
        return None if row is None else SavedCoverage(since_s=row[0], replicas=frozenset(json.loads(row[1])))

    def save(self, coverage: SavedCoverage) -> None:
        """Write the coverage, inside of a transaction."""
        row = (coverage.since_s, json.dumps(sorted(coverage.replicas)))
        self._db.execute("INSERT OR REPLACE INTO record_coverage VALUES (1, ?, ?)", row)
