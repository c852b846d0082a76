"""`make bench-frames`: the looks that the gate and its peers send of labelled pairs, sessions, motion and cameras.

Thresholds of the peers are tuned on one set of seeds; all figures are of others. `--part` measures one part only.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from tests.benchmarks.frames import measurements, pair_figures
from tests.benchmarks.frames.goals import lines, missed

PARTS = ("pairs", "sessions", "reuse", "motion", "cameras", "reading")
_DEFAULT_LIMITS = {"phash-8": 0.0, "phash-16": 6.0, "SSIM 480x270": 0.01}
"""The peers' limits of an earlier run, for a run without pairs."""


def run(options: argparse.Namespace, console: Console) -> measurements.Figures:
    """Print the tables of the chosen parts and return their figures."""
    parts, limits, figures = options.part or PARTS, _DEFAULT_LIMITS, measurements.Figures()
    seeds = measurements.TUNE_SEEDS if options.tune else measurements.REPORT_SEEDS
    if "pairs" in parts:
        judged = measurements.judged(seeds, options.pairs, console)
        if not options.tune:
            limits = pair_figures.tuned_limits(
                measurements.judged(measurements.TUNE_SEEDS, options.tuning_pairs, console)
            )
        figures |= measurements.print_pairs(pair_figures.scores(judged, limits), judged, console)
    if "sessions" in parts:
        scores, found = measurements.measure_sessions(seeds[:1], limits, options.seconds, console, options.sheets)
        measurements.print_sessions(scores, console)
        figures |= found
    if "reuse" in parts:
        figures |= measurements.measure_reuse(seeds, options.seconds, options.returns, console)
    if "motion" in parts:
        figures |= measurements.measure_motion(seeds[0], options.seconds, console)
    if "cameras" in parts:
        figures |= measurements.measure_cameras(seeds[0], 45, console)
    if "reading" in parts:
        figures |= measurements.measure_reading(seeds[0], options.changes, console)
    return figures


def main() -> int:
    """Return 0 when every measured goal is met, 1 when one is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", action="append", choices=PARTS, help="measure this part only; may be repeated")
    parser.add_argument("--pairs", type=int, default=312, help="pairs of each of the two reported seeds")
    parser.add_argument("--tuning-pairs", type=int, default=104, help="pairs of each of the two tuning seeds")
    parser.add_argument("--returns", type=int, default=1_000, help="screens that return with one word edited")
    parser.add_argument("--seconds", type=int, default=120, help="the length of a session and of a motion")
    parser.add_argument("--changes", type=int, default=20, help="changes that are read by OCR on each size of screen")
    parser.add_argument("--tune", action="store_true", help="measure on the tuning seeds, to design the gate by them")
    parser.add_argument("--sheets", type=Path, help="draw a contact sheet of each session into this directory")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    console = Console(width=200)
    figures = run(options, console)
    for line in lines(figures):
        console.print(line, highlight=False)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 1 if missed(figures) else 0


if __name__ == "__main__":
    sys.exit(main())
