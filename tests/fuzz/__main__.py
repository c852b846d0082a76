"""`make fuzz`: hypothesis, atheris and schemathesis against everything that strangers send; prints the counts."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings

from routing.process import LEVEL
from tests.compat import schema_cases
from tests.compat.commands import ROOT, CommandFailed, installed, output_of
from tests.compat.targets import simulated_app
from tests.fuzz.seeds import seeds
from tests.fuzz.strategies import mutated
from tests.fuzz.targets import TARGETS

ATHERIS = "atheris==3.0.0"
"""The newest version on 2026-11-30. It has wheels for Linux on x86-64 only, so it is no dependency of the project."""
SECONDS = float(os.environ.get("FUZZ_SECONDS", "60"))
"""The time of each target under atheris."""
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "5000"))
_EXECUTED = re.compile(r"stat::number_of_executed_units:\s*(\d+)")


def main() -> int:
    """Return 1 where an input raised anything but our own errors, 2 where a tool could not be installed or run."""
    os.environ[LEVEL] = "CRITICAL"
    found = [name for name in TARGETS if not _hypothesis(name)]
    try:
        found += [name for name in TARGETS if not asyncio.run(_atheris(name))]
        found += asyncio.run(_schemathesis())
    except CommandFailed as error:
        print(error.message, file=sys.stderr)
        return 2
    return 1 if found else 0


def _hypothesis(name: str) -> bool:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(mutated(seeds()[name]))
    def fuzz(data: bytes) -> None:
        TARGETS[name](data)

    try:
        fuzz()
    except Exception as error:
        print(f"hypothesis  {name:14} FOUND {type(error).__name__}: {str(error)[:200]}", flush=True)
        return False
    print(f"hypothesis  {name:14} {EXAMPLES} inputs, nothing found", flush=True)
    return True


async def _atheris(name: str) -> bool:
    packages = next(installed(ATHERIS).parents[1].glob("lib/python*/site-packages"))
    # Inputs that were found stay for the next run.
    corpus, crash = ROOT / ".tools" / "fuzz" / name, ROOT / ".tools" / "fuzz" / f"crash-{name}"
    options = [f"-max_total_time={SECONDS:.0f}", "-print_final_stats=1", "-rss_limit_mb=2048", "-timeout=10"]
    command = [sys.executable, "-m", "tests.fuzz.atheris_run", name, str(corpus), *options]
    command += ["-max_len=8192", f"-exact_artifact_path={crash}"]
    environment = {"PYTHONPATH": f"{ROOT}{os.pathsep}{packages}"}
    try:
        printed = await output_of(command, environment)
    except CommandFailed as error:
        print(f"atheris     {name:14} FOUND {crash.relative_to(ROOT)}\n{error.message[-1_500:]}", flush=True)
        return False
    executed = _EXECUTED.search(printed)
    count = int(executed[1]) if executed else 0
    print(f"atheris     {name:14} {count} inputs in {SECONDS:.0f} s, nothing found", flush=True)
    return True


async def _schemathesis() -> list[str]:
    """Run schemathesis on the served app, and return its classes of findings."""
    program = schema_cases.install_schemathesis()
    with tempfile.TemporaryDirectory() as directory:
        async with simulated_app(Path(directory)) as target:
            reports = await schema_cases.schema_reports(target, program)
    findings = [finding for report in reports for finding, _ in report.findings]
    cases = sum(report.cases for report in reports)
    print(f"schemathesis all routes    {cases} requests, {len(findings)} classes of finding", flush=True)
    for finding in findings:
        print(f"    {finding}")
    return findings


if __name__ == "__main__":
    sys.exit(main())
