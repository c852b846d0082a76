"""`rayroom emulate`: run the vendor emulator in the foreground until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import math
import random
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from cluster.lab.emulator import Emulator, EmulatorState, LatencyModel, RateLimits, VendorLoad
from cluster.lab.emulator.core.request_log import RequestLog
from cluster.lab.emulator.engines import Engines, load_engines
from deployments.common.settings import ProfileChange
from routing.errors import ConfigurationError
from routing.validation import first_error


def build_state(
    *,
    speed: float,
    seed: int,
    limits: RateLimits,
    load: VendorLoad,
    answer_tokens: int,
    log_entries: int,
    engines: Engines | None,
    profiles: Mapping[str, ProfileChange],
) -> EmulatorState:
    """Return the state that all requests share; a speed of 0 means no simulated latency."""
    latency = LatencyModel(random.Random(seed), speed or math.inf, profiles)
    return EmulatorState(
        seed=seed,
        latency=latency,
        limits=limits,
        load=load,
        answer_tokens=answer_tokens,
        engines=engines or Engines(),
        journal=RequestLog(log_entries),
    )


def read_engines(file: Path) -> Engines:
    """Load the OCR, ASR and TTS engines; the recognizer's grammar is the phrases of `file`, one a line.

    Raises ConfigurationError for a file that cannot be read or has no phrase, for a word missing in the dictionary, and
    where the extra `senses` is not installed.
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
    """Parse `--profiles`: JSON with the schema of `simulation.profiles`. Raises ConfigurationError."""
    try:
        return TypeAdapter(dict[str, ProfileChange]).validate_json(text)
    except ValidationError as error:
        where, problem = first_error(error)
        raise ConfigurationError(f"--profiles: {where or 'the value'}: {problem}.", "profiles") from None


def run_emulator(state: EmulatorState, host: str, port: int, write_line: Callable[[str], None]) -> None:
    """Print each vendor's base URL, then serve until SIGINT or SIGTERM. Raises ConfigurationError."""
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
