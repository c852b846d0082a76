"""Run the kill schedules, print a table of each, and exit with 1 on a difference."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.chaos.money_path import MoneyPathSettings, run_money_path
from tests.chaos.report import money_path_table
from tests.chaos.schedule import lives


def main() -> int:
    """Parse the options, run each seed, and return the exit status."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="SIGKILLs of each seed (default: %(default)s)")
    parser.add_argument("--seed", type=int, action="append", help="a seed; may be repeated (default: 1, 2 and 3)")
    options = parser.parse_args()
    status = 0
    for seed in options.seed or [1, 2, 3]:
        with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
            settings = MoneyPathSettings(directory=Path(directory), schedule=lives(options.kills, seed), seed=seed)
            result = asyncio.run(run_money_path(settings))
        print(money_path_table(result, seed), flush=True)
        status |= bool(result.comparison.differences)
    return status


if __name__ == "__main__":
    sys.exit(main())
