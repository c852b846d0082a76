"""A saved run is read back completely."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.lab.results import record
from routing.errors import ConfigurationError

TOTALS = record.Totals(
    seconds=10, rooms_peak=2, room_hours=0.5, seen=100, repeats=80, kept=20, answered=17, shed=2, failed=1
)


def run(name: str = "one") -> record.Run:
    summary = record.Summary(
        kind="load",
        name=name,
        command="rayroom load one",
        started_at="2026-11-25T00:00:00+00:00",
        machine=record.this_machine(),
        scenario={"name": name},
        totals=TOTALS,
    )
    rows = [{"at_s": 1.0, "deployment": "vision", "target_replicas": 2}]
    tables = {name: record.table(schema) for name, schema in record.SCHEMAS.items()}
    return record.Run(summary=summary, **tables | {"replicas": record.table(record.REPLICAS, rows)})


def test_a_saved_run_is_loaded_unchanged(tmp_path: Path) -> None:
    record.save(run(), tmp_path / "run")
    loaded = record.load(tmp_path / "run")
    assert loaded.summary == run().summary and loaded.replicas.equals(run().replicas)
    assert loaded.replicas["running_replicas"].to_pylist() == [None]


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    record.save(run("one"), tmp_path)
    record.save(run("two"), tmp_path)
    assert record.load(tmp_path).summary.name == "two"
    assert {file.name for file in tmp_path.iterdir()} == {"run.json", *(f"{name}.parquet" for name in record.SCHEMAS)}


def test_a_directory_with_an_incomplete_run_is_rejected(tmp_path: Path) -> None:
    record.save(run(), tmp_path)
    (tmp_path / "traffic.parquet").unlink()
    with pytest.raises(ConfigurationError, match="holds no run"):
        record.load(tmp_path)


def test_the_shed_share_counts_unanswered_frames_and_is_unknown_without_kept_ones() -> None:
    assert TOTALS.shed_share == pytest.approx(3 / 20)
    assert TOTALS.model_copy(update={"kept": 0}).shed_share is None
    assert TOTALS.usd_per_room_hour is None
    assert TOTALS.model_copy(update={"cost_nanousd": 10**9}).usd_per_room_hour == pytest.approx(2.0)
