"""A trace of meetings is read unchanged, or rejected with column and row."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from cluster.lab.scenario.trace import read_trace
from routing.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("join_at_s\n", "is empty"),
        ("start\n3\n", "needs a column join_at_s; it has start"),
        ("join_at_s\n5\n3\n", "row 2: join_at_s 3 is earlier than the row before it"),
        ("join_at_s\n-1\n3\n", "row 1: join_at_s -1 must not be negative"),
        ("join_at_s\nsoon\n", "join_at_s must be seconds"),
        ("join_at_s,leave_at_s\n5,3\n", "row 1: leave_at_s 3 is earlier than its join_at_s"),
        ("join_at_s\n900\n", "every join_at_s is after length_s 60"),
    ],
)
def test_an_invalid_trace_is_rejected_with_column_and_row(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError) as excinfo:
        read_trace(file, 60)
    assert message in excinfo.value.message and "trace.csv" in excinfo.value.message


def test_the_error_for_a_missing_trace_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no file"):
        read_trace(tmp_path / "none.csv", 60)


def test_a_file_without_a_table_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"no table")
    with pytest.raises(ConfigurationError, match="neither CSV nor Parquet"):
        read_trace(tmp_path / "t.parquet", 60)


def test_csv_and_parquet_give_the_same_trace(tmp_path: Path) -> None:
    table = pa.table({"join_at_s": [0.0, 1.5], "tenant": ["x", "y"]})
    parquet.write_table(table, tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("join_at_s,tenant\n0,x\n1.5,y\n", "utf-8")
    for file in ("t.csv", "t.parquet"):
        joins, leaves, tenants = read_trace(tmp_path / file, 60)
        assert joins.tolist() == [0, 1.5] and leaves.tolist() == [60, 60]
        assert tenants is not None and tenants.tolist() == [0, 1]
