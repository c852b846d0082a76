"""Define the result of a run (load, simulation or demo): tables and totals, and their files on disk."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import psutil
import pyarrow as pa
from pyarrow import parquet
from pydantic import Field, ValidationError

from deployments.common.settings import Settings
from routing.errors import ConfigurationError
from routing.units import NANOUSD_PER_USD

Kind = Literal["load", "replay", "webrtc", "simulate", "demo"]

REPLICAS = pa.schema(
    [
        ("at_s", pa.float64()),
        ("deployment", pa.string()),
        ("target_replicas", pa.int64()),
        ("running_replicas", pa.int64()),
        ("ongoing", pa.float64()),
        ("queued", pa.float64()),
        ("wanted_replicas", pa.float64()),
    ]
)
"""A row for each deployment and sample. `wanted_replicas`: demand over the target of one replica, before bounds and
delays. Null where it could not be measured."""
TRAFFIC = pa.schema(
    [
        ("at_s", pa.float64()),
        ("rooms", pa.int64()),
        ("seen", pa.int64()),
        ("repeats", pa.int64()),
        ("kept", pa.int64()),
        ("answered", pa.int64()),
        ("shed", pa.int64()),
        ("failed", pa.int64()),
        ("questions", pa.int64()),
        ("p50_ms", pa.float64()),
        ("p95_ms", pa.float64()),
        ("own_p95_ms", pa.float64()),
    ]
)
"""A row for each second, by the moment a frame was due. seen = repeats + kept; kept = answered + shed + failed."""
LATENCY = pa.schema(
    [
        ("service", pa.string()),
        ("part", pa.string()),
        ("quantile", pa.float64()),
        ("ms", pa.float64()),
    ]
)
"""Quantiles of the answer time after the warm-up: `part` is `whole`, or `own` for all but the vendor's time."""
TENANTS = pa.schema(
    [
        ("tenant", pa.string()),
        ("room_hours", pa.float64()),
        ("seen", pa.int64()),
        ("kept", pa.int64()),
        ("answered", pa.int64()),
        ("cost_nanousd", pa.int64()),
        ("every_frame_nanousd", pa.int64()),
        ("changed_only_nanousd", pa.int64()),
        ("changed_small_nanousd", pa.int64()),
    ]
)
"""The actual cost of a tenant's frames, and three hypothetical ones: every frame seen, at full size, to the strong
model; only the changed frames; and these downscaled. The three factors are the steps from one to the next, down to
`cost_nanousd`."""
EVENTS = pa.schema([("at_s", pa.float64()), ("kind", pa.string()), ("where", pa.string()), ("what", pa.string())])
"""Events: `kind` is scale, breaker, fallback, fault, node or note."""


class Machine(Settings):
    """The machine and the versions of a run."""

    cpus: int
    memory_gib: float
    platform: str
    python: str
    versions: dict[str, str]


class TargetVerdict(Settings):
    """One target, its measured value, and whether it held; without a measurement it did not hold."""

    target: str
    limit: float
    seen: float | None
    held: bool


class Totals(Settings):
    """A run's figures, after its warm-up. None: not known, or nothing to count."""

    seconds: float
    rooms_peak: int
    room_hours: float
    seen: int
    repeats: int
    kept: int
    answered: int
    shed: int
    failed: int
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    own_p50_ms: float | None = None
    own_p95_ms: float | None = None
    replica_seconds: dict[str, float] = Field(default={})
    slo_missing_s: float | None = None
    """Seconds in which a target's share or percentile did not hold."""
    cost_nanousd: int | None = None
    driver_cpu_s: float | None = None
    app_cpu_s: float | None = None

    @property
    def shed_share(self) -> float | None:
        return (self.shed + self.failed) / self.kept if self.kept else None

    @property
    def usd_per_room_hour(self) -> float | None:
        if self.cost_nanousd is None or not self.room_hours:
            return None
        return self.cost_nanousd / NANOUSD_PER_USD / self.room_hours


class Summary(Settings):
    """The content of `run.json`, which can be read without the tables."""

    kind: Kind
    name: str
    command: str
    started_at: str
    """ISO 8601, UTC."""
    complete: bool = True
    """False if the run was stopped before its end."""
    simulated: bool = True
    """Whether any vendor was simulated or emulated."""
    machine: Machine
    scenario: dict[str, Any]
    totals: Totals
    verdicts: tuple[TargetVerdict, ...] = ()
    notes: tuple[str, ...] = ()
    """Remarks for the reader of the figures, one sentence each."""
    details: dict[str, Any] = Field(default={})
    """Data that only one kind of run has, such as the demo's reconciliation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: the summary and the five tables of the schemas above."""

    summary: Summary
    replicas: pa.Table
    traffic: pa.Table
    latency: pa.Table
    tenants: pa.Table
    events: pa.Table


SCHEMAS: Mapping[str, pa.Schema] = {
    "replicas": REPLICAS,
    "traffic": TRAFFIC,
    "latency": LATENCY,
    "tenants": TENANTS,
    "events": EVENTS,
}


def table(schema: pa.Schema, rows: Iterable[Mapping[str, Any]] = ()) -> pa.Table:
    """Return rows as a table; columns missing in a row are null."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)


def this_machine() -> Machine:
    packages = ("rayroom", "ray", "livekit-agents", "numpy", "pyarrow")
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        platform=platform.platform(),
        python=platform.python_version(),
        versions={name: version for name in packages if (version := _version(name))},
    )


def save(run: Run, directory: Path) -> None:
    """Write a run atomically; files of an earlier run are replaced."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=directory) as temporary:
        (Path(temporary) / "run.json").write_text(run.summary.model_dump_json(indent=2), "utf-8")
        for name in SCHEMAS:
            parquet.write_table(getattr(run, name), Path(temporary) / f"{name}.parquet")
        # The summary is moved last: a directory with a summary also has its tables.
        for file in sorted(Path(temporary).iterdir(), key=lambda file: file.suffix == ".json"):
            shutil.move(file, directory / file.name)


def load(directory: Path) -> Run:
    """Return the run that was saved in a directory; raises ConfigurationError if it cannot be read."""
    try:
        summary = Summary.model_validate_json((directory / "run.json").read_text("utf-8"))
        tables = {name: parquet.read_table(directory / f"{name}.parquet") for name in SCHEMAS}
    except (OSError, ValidationError, pa.ArrowInvalid) as error:
        raise ConfigurationError(f"{directory}: holds no run that can be read: {type(error).__name__}.") from None
    return Run(summary=summary, **tables)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


assert {field.name for field in fields(Run)} == {"summary", *SCHEMAS}
