"""`make compat`: run every client and suite against every target, and print what does not fit."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from cluster.lab.stack.backend_peer import install
from routing.errors import ConfigurationError
from tests.compat import canary
from tests.compat.commands import CommandFailed
from tests.compat.targets import Target, emulated_app, emulated_openai, simulated_app


def main() -> int:
    """Return 1 when a client or suite found something, 2 when one could not be installed or run."""
    try:
        install(canary.DIRECTORY)
        return asyncio.run(_run())
    except (ConfigurationError, CommandFailed) as error:
        print(error.message, file=sys.stderr)
        return 2


async def _run() -> int:
    async with AsyncExitStack() as stack:
        first, second = (Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2))
        simulated = await stack.enter_async_context(simulated_app(first))
        emulated = await stack.enter_async_context(emulated_app(second))
        emulator = await stack.enter_async_context(emulated_openai())
        results = [await _canary([simulated, emulated, emulator])]
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


if __name__ == "__main__":
    sys.exit(main())
