"""`rayroom emulate`: run the vendor emulator in the foreground until a signal."""

from __future__ import annotations

import asyncio
import math
import random
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from cluster.lab.emulator import Emulator, EmulatorState, LatencyModel, RateLimits, VendorLoad
from cluster.lab.emulator.engines import Engines, load_engines
from deployments.common.settings import ProfileChange
from routing.errors import ConfigurationError


def emulator_state(
    *,
    speed: float,
    seed: int,
    limits: RateLimits,
    load: VendorLoad,
    answer_tokens: int,
    senses: Engines | None = None,
    profiles: Mapping[str, ProfileChange] | None = None,
) -> EmulatorState:
    """Return the state that the emulator's requests share; a speed of 0 removes all waiting."""
    pace = LatencyModel(random.Random(seed), speed or math.inf, profiles)
    return EmulatorState(
        seed=seed, pace=pace, limits=limits, load=load, answer_tokens=answer_tokens, senses=senses or Engines()
    )


def read_senses(file: Path) -> Engines:
    """Return the recognition and speech engines, with the phrases of `file`, one a line, as the vocabulary.

    Raises ConfigurationError for an unreadable or empty file, for a word outside the dictionary, and without the extra
    `senses`.
    """
    try:
        phrases = [line for line in map(str.strip, file.read_text("utf-8").splitlines()) if line]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(
            f"--senses {file}: cannot be read: {reason or type(error).__name__}.", "senses"
        ) from None
    if not phrases:
        raise ConfigurationError(f"--senses {file}: holds no phrase; write one a line.", "senses")
    return load_engines(phrases)


def read_profiles(text: str) -> dict[str, ProfileChange]:
    """Parse `--profiles`, JSON as under `simulation.profiles`; raises ConfigurationError."""
    try:
        return TypeAdapter(dict[str, ProfileChange]).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"--profiles: {where or 'the value'}: {first['msg']}.", "profiles") from None


def run_emulator(state: EmulatorState, host: str, port: int, write_line: Callable[[str], None]) -> None:
    """Print each vendor's base URL and serve until SIGINT or SIGTERM; raises ConfigurationError."""
    asyncio.run(_serve(Emulator(state, host=host, port=port), write_line))


async def _serve(emulator: Emulator, write_line: Callable[[str], None]) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        async with emulator.running():
            for vendor, base_url in emulator.base_urls().items():
                write_line(f"{vendor:<11} base_url {base_url}")
            write_line(f"{'control':<11} {emulator.url}/_emulator/faults, {emulator.url}/_emulator/journal")
            await stop.wait()
    except OSError as error:
        raise ConfigurationError(f"The emulator cannot listen: {error.strerror or error}.", "port") from None
