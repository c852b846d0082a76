"""Run many experiments in parallel processes, in the given order."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

from cluster.lab.results.record import Summary
from cluster.lab.scenario.recorded_screens import load_recordings
from cluster.lab.simulator.experiment import Experiment, simulate

Summaries = Iterator[Summary]


def run_all(experiments: Iterable[Experiment], processes: int | None) -> Summaries:
    """Yield the summary of each experiment; the screens are drawn once, before any process starts."""
    ready = [_with_takes(experiment) for experiment in experiments]
    workers = min(processes or len(os.sched_getaffinity(0)), len(ready))
    if workers <= 1:
        yield from map(summary_of, ready)
        return
    # Spawned, not forked: Ray's threads do not survive a fork.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        try:
            yield from pool.map(summary_of, ready)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def summary_of(experiment: Experiment) -> Summary:
    return simulate(experiment).summary


def _with_takes(experiment: Experiment) -> Experiment:
    recordings = experiment.recordings or load_recordings(
        experiment.scenario.rooms, long_side_px=experiment.app.rooms.image_long_side_px
    )
    # The simulation does not need the pictures.
    return replace(experiment, recordings=replace(recordings, jpegs=()))
