"""Read recorded meetings from a CSV or Parquet file of join and leave times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv, parquet

from routing.errors import ConfigurationError

Columns = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64] | None]
_COLUMNS = ("join_at_s", "leave_at_s", "tenant")


def read_trace(file: Path, length_s: float) -> Columns:
    """Return joins, departures and tenants (None if the file has none) of the meetings before `length_s`.

    Raises ConfigurationError naming the column and the row (from 1, without the header).
    """
    table = _table(file)
    if "join_at_s" not in table.column_names:
        raise ConfigurationError(f"{file}: needs a column join_at_s; it has {', '.join(table.column_names) or 'none'}.")
    join_at_s = _seconds(file, table, "join_at_s")
    if not len(join_at_s):
        raise ConfigurationError(f"{file}: is empty: a trace needs at least one row.")
    _reject_rows(file, "join_at_s", join_at_s < 0, join_at_s, "must not be negative")
    earlier = np.diff(join_at_s, prepend=join_at_s[0]) < 0
    _reject_rows(file, "join_at_s", earlier, join_at_s, "is earlier than the row before it: sort the rows by join_at_s")
    leave_at_s = np.full(len(join_at_s), length_s)
    if "leave_at_s" in table.column_names:
        leave_at_s = _seconds(file, table, "leave_at_s")
        _reject_rows(file, "leave_at_s", leave_at_s < join_at_s, leave_at_s, "is earlier than its join_at_s")
    within = join_at_s < length_s
    if not within.any():
        raise ConfigurationError(f"{file}: every join_at_s is after length_s {length_s:g}: nothing would run.")
    tenant = _tenant_index(table)
    return join_at_s[within], np.minimum(leave_at_s, length_s)[within], None if tenant is None else tenant[within]


def _table(file: Path) -> pa.Table:
    try:
        return parquet.read_table(file) if file.suffix == ".parquet" else csv.read_csv(file)
    except FileNotFoundError:
        raise ConfigurationError(f"arrivals.file: there is no file {file}.") from None
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, pa.ArrowInvalid) and "Empty CSV" in str(error):
            raise ConfigurationError(f"{file}: is empty: a trace needs at least one row.") from None
        raise ConfigurationError(f"{file}: is neither CSV nor Parquet that can be read: {error}") from None


def _seconds(file: Path, table: pa.Table, column: str) -> NDArray[np.float64]:
    try:
        values = table.column(column).cast(pa.float64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise ConfigurationError(f"{file}: {column} must be seconds from the start, as numbers.") from None
    _reject_rows(file, column, ~np.isfinite(values), values, "is not a number of seconds")
    return np.asarray(values, dtype=np.float64)


def _reject_rows(
    file: Path, column: str, invalid: NDArray[np.bool_], values: NDArray[np.float64], problem: str
) -> None:
    if invalid.any():
        row = int(np.argmax(invalid))
        raise ConfigurationError(f"{file}: row {row + 1}: {column} {values[row]:g} {problem}.")


def _tenant_index(table: pa.Table) -> NDArray[np.int64] | None:
    """Return each row's tenant as an index in the order of appearance."""
    if "tenant" not in table.column_names:
        return None
    codes = table.column("tenant").combine_chunks().dictionary_encode().indices
    return np.asarray(codes.to_numpy(zero_copy_only=False), dtype=np.int64)
