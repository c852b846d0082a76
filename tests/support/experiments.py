"""A scenario, its screens and the shipped application, small enough for a test to simulate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cluster.config.validate import check_file
from cluster.lab.scenario.arrivals import RECORDINGS
from cluster.lab.scenario.recorded_screens import RecordedScreens
from cluster.lab.scenario.scenario import Scenario
from cluster.lab.simulator.experiment import Experiment
from cluster.lab.simulator.overrides import overridden

ROOT = Path(__file__).parents[2]
SAMPLES = 60
KEPT_SHARE = 0.2


def screens(samples_per_second: float = 1.0) -> RecordedScreens:
    """Return synthetic screens of which a random share changes."""
    kept = np.random.default_rng(1).random((RECORDINGS, round(SAMPLES * samples_per_second))) < KEPT_SHARE
    single = np.array([1])
    return RecordedScreens(
        samples_per_second=samples_per_second,
        kept=kept,
        why=np.zeros(kept.shape, dtype=np.int64),
        reasons=("changed",),
        frame=np.zeros(kept.shape, dtype=np.int64),
        size_bytes=40_000 * single,
        width_px=1_024 * single,
        height_px=576 * single,
        measured=np.zeros((1, 4)),
        phash=("0" * 16,),
        jpegs=(),
    )


def experiment(changes: dict[str, Any] | None = None, **parts: Any) -> Experiment:
    """Return an experiment: `parts` of the scenario as its file has them, `changes` by key."""
    document: dict[str, Any] = {"name": "test", "length_s": 30, "arrivals": {"kind": "steady", "rooms": 40}} | parts
    shipped = Experiment(
        scenario=Scenario.model_validate(document),
        directory=ROOT,
        app=check_file(ROOT / "serve_config.yaml"),
        recordings=screens(document.get("rooms", {}).get("frames_per_second", 1.0)),
    )
    return overridden(shipped, changes or {})
