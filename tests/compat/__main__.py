"""`make compat`: run every client and suite against every target, and print what does not fit."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from cluster.lab.stack.backend_peer import install
from routing.errors import ConfigurationError
from routing.process import LEVEL
from tests.compat import canary, clients, schema_cases, suite
from tests.compat.commands import ROOT, CommandFailed
from tests.compat.targets import Target, emulated_app, emulated_openai, simulated_app


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The installed programs: the Python of each client, openai-python's sources and schemathesis."""

    pythons: dict[str, Path]
    sources: Path
    schemathesis: Path


def main() -> int:
    """Return 1 when a client or suite found something, 2 when one could not be installed or run."""
    # The app's events, thousands of refusals among them, would hide the tables.
    os.environ[LEVEL] = "ERROR"
    try:
        for directory in (canary.DIRECTORY, clients.NODE_DIRECTORY):
            install(directory)
        return asyncio.run(_run(_installed()))
    except (ConfigurationError, CommandFailed) as error:
        print(error.message, file=sys.stderr)
        return 2


def _installed() -> Installed:
    return Installed(
        pythons=clients.install_clients(), sources=suite.unpacked(), schemathesis=schema_cases.install_schemathesis()
    )


async def _run(installed: Installed) -> int:
    async with AsyncExitStack() as stack:
        first, second = (Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2))
        simulated = await stack.enter_async_context(simulated_app(first))
        emulated = await stack.enter_async_context(emulated_app(second))
        emulator = await stack.enter_async_context(emulated_openai())
        results = [
            await _canary([simulated, emulated, emulator]),
            await _clients([simulated, emulated], installed.pythons),
            await _suite([simulated, emulated], installed.sources),
            # Its last cases close the room of the app's token.
            await _schema(simulated, installed.schemathesis),
        ]
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


async def _suite(targets: list[Target], sources: Path) -> bool:
    print("== openai-python's own tests", flush=True)
    reports = [await suite.suite_report(target, sources) for target in targets]
    for report in reports:
        print(f"  {report.target:24} {report.passed} of {report.passed + len(report.failures)}")
        for name, error in report.failures.items():
            print(f"      {name}: {error.splitlines()[0] if error else 'failed'}")
    return not any(report.failures for report in reports)


async def _schema(target: Target, program: Path) -> bool:
    print("== schemathesis", flush=True)
    reports = await schema_cases.schema_reports(target, program)
    for report in reports:
        print(f"  {report.cases} cases, {len(report.findings)} classes of finding: {report.details.relative_to(ROOT)}")
        for finding, operations in report.findings:
            print(f"      {finding}: {', '.join(operations)}")
        for refusals in report.explained:
            print(f"      {refusals.count} refused, no schema can say it: {refusals.rule}, because {refusals.reason}")
    return not any(report.findings for report in reports)


if __name__ == "__main__":
    sys.exit(main())
