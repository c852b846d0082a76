"""Run the named checks of a client and print their outcomes as one line of JSON; each client's script uses it."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version

CHECK_TIMEOUT_S = 60.0
SHOWN_CHARS = 300

Check = Callable[[], Awaitable[None]]


def run(package: str, checks: dict[str, Check]) -> None:
    """Print the outcome of each check: `ok`, or its error."""
    outcomes = asyncio.run(_outcomes(checks))
    json.dump({"version": version(package), "outcomes": outcomes}, sys.stdout)


async def _outcomes(checks: dict[str, Check]) -> dict[str, str]:
    return {name: await _outcome(check) for name, check in checks.items()}


async def _outcome(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:SHOWN_CHARS]
    return "ok"
