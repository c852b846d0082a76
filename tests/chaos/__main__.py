"""Run the kill schedules of each seed, print a table of each, and exit with 1 on a difference."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from tests.chaos.money_path import MoneyPathSettings, run_money_path
from tests.chaos.report import money_path_table, system_table
from tests.chaos.schedule import lives
from tests.chaos.system import SystemSettings, run_system

STOP_S = 20.0
MONTH_ENDS_AFTER_S = 30.0


def main() -> int:
    """Parse the options, run each seed, and return the exit status."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=60, help="SIGKILLs of the money path (default: %(default)s)")
    parser.add_argument("--system-kills", type=int, default=40, help="SIGKILLs of the whole system (default: 40)")
    parser.add_argument(
        "--away-s",
        type=float,
        default=600.0,
        help="seconds without the backend after the first seed's kills of the money path",
    )
    parser.add_argument("--seed", type=int, action="append", help="a seed; may be repeated (default: 1, 2 and 3)")
    options = parser.parse_args()
    status = 0
    for number, seed in enumerate(options.seed or [1, 2, 3]):
        with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
            if options.kills:
                status |= _run_money_path(Path(directory), options.kills, seed, 0.0 if number else options.away_s)
            if options.system_kills:
                status |= _run_system(Path(directory), options.system_kills, seed)
    print(f"load average {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores")
    return status


def _run_money_path(directory: Path, kills: int, seed: int, away_s: float) -> int:
    settings = MoneyPathSettings(
        directory=directory,
        schedule=lives(kills, seed),
        seed=seed,
        stop_s=STOP_S,
        away_s=away_s,
        month_ends_after_s=MONTH_ENDS_AFTER_S,
    )
    result = asyncio.run(run_money_path(settings))
    print(money_path_table(result, seed), flush=True)
    return int(bool(result.comparison.differences))


def _run_system(directory: Path, kills: int, seed: int) -> int:
    result = asyncio.run(run_system(SystemSettings(directory=directory, kills=kills, seed=seed, stop_s=STOP_S)))
    print(system_table(result, seed), flush=True)
    return int(bool(result.comparison.differences or result.client_faults))


if __name__ == "__main__":
    sys.exit(main())
