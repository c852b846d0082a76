"""`make compat`: run every client and suite against every target, and print what does not fit."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from cluster.lab.stack.backend_peer import install
from routing.errors import ConfigurationError
from tests.compat import canary, clients
from tests.compat.commands import CommandFailed
from tests.compat.targets import Target, emulated_app, emulated_openai, simulated_app


def main() -> int:
    """Return 1 when a client or suite found something, 2 when one could not be installed or run."""
    try:
        for directory in (canary.DIRECTORY, clients.NODE_DIRECTORY):
            install(directory)
        return asyncio.run(_run(clients.install_clients()))
    except (ConfigurationError, CommandFailed) as error:
        print(error.message, file=sys.stderr)
        return 2


async def _run(pythons: dict[str, Path]) -> int:
    async with AsyncExitStack() as stack:
        first, second = (Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2))
        simulated = await stack.enter_async_context(simulated_app(first))
        emulated = await stack.enter_async_context(emulated_app(second))
        emulator = await stack.enter_async_context(emulated_openai())
        results = [await _canary([simulated, emulated, emulator]), await _clients([simulated, emulated], pythons)]
    return 0 if all(results) else 1


async def _canary(targets: list[Target]) -> bool:
    print("== compatcanary", flush=True)
    scores = [score for target in targets for score in await canary.scores(target)]
    for score in scores:
        verdict = "ok" if score.passed else f"MISSED, {canary.LEAST[score.profile]} is the least"
        print(f"  {score.target:24} {score.profile:8} {score.score:3}  {verdict}")
        for finding in score.findings:
            print(f"      {finding}")
    return all(score.passed for score in scores)


async def _clients(targets: list[Target], pythons: dict[str, Path]) -> bool:
    print("== clients", flush=True)
    reports = [report for target in targets for report in await clients.client_reports(target, pythons)]
    for report in reports:
        passed = sum(outcome == "ok" for outcome in report.outcomes.values())
        print(f"  {report.target:24} {report.client:16} {report.version:9} {passed} of {len(report.outcomes)}")
        for name, outcome in report.outcomes.items():
            if outcome != "ok":
                print(f"      {name}: {outcome}")
    return all(report.passed for report in reports)


if __name__ == "__main__":
    sys.exit(main())
