"""The process of a room visitor: reads tokens from stdin, ends on a timeout, a signal, or when its parent ends."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import signal
import sys
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any

from routing.errors import BadInput, RayroomError

TOKENS_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 15.0
DISCONNECT_TIMEOUT_S = 3.0
# Large enough for hundreds of tokens.
MAX_LINE_BYTES = 1 << 20

Visit = Callable[[Mapping[str, str]], Coroutine[Any, Any, None]]
"""Visits the rooms of the given tokens until it is cancelled; raises RayroomError."""


class VisitFailed(RayroomError):
    """A room could not be joined, or the server ended the visit."""

    code = "visit_failed"


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of every visit."""
    options = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    options.add_argument("--url", required=True, help="of the LiveKit server: ws://host:port")
    options.add_argument("--rooms", required=True, type=lambda names: names.split(","), help="separated by commas")
    options.add_argument(
        "--tokens-stdin", required=True, action="store_true", help="tokens come as JSON on stdin, only"
    )
    options.add_argument("--seconds", type=seconds, default=60.0)
    return options


def run_visit(options: argparse.Namespace, visit: Visit) -> int:
    """Visit, and return the exit status."""
    try:
        asyncio.run(_run(options, visit))
    except RayroomError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


def print_json(line: Mapping[str, Any]) -> None:
    """Print one JSON line to stdout, for the parent."""
    print(json.dumps(line), flush=True)


async def _run(options: argparse.Namespace, visit: Visit) -> None:
    """Read the tokens and visit until the time is over, a signal arrives or stdin is closed; raises RayroomError."""
    stdin = await _stdin()
    tokens = await _read_tokens(stdin, options.rooms)
    logging.getLogger("livekit").addFilter(_redacting_filter(tokens.values()))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    visiting = asyncio.create_task(visit(tokens))
    ends = {asyncio.create_task(stop.wait()), asyncio.create_task(_closed(stdin))}
    await asyncio.wait({visiting, *ends}, timeout=options.seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in (visiting, *ends):
        task.cancel()
    await asyncio.wait({visiting, *ends}, timeout=2 * DISCONNECT_TIMEOUT_S)
    if visiting.done() and not visiting.cancelled():
        visiting.result()


async def _stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    try:
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    except (ValueError, OSError):
        raise BadInput("stdin: must be a pipe that stays open for as long as the visit lasts.") from None
    return reader


async def _read_tokens(stdin: asyncio.StreamReader, rooms: Sequence[str]) -> dict[str, str]:
    """Return the token of each room from the first line of stdin; raises BadInput without showing a token."""
    try:
        async with asyncio.timeout(TOKENS_TIMEOUT_S):
            tokens = json.loads(await stdin.readline())
    except (ValueError, TimeoutError):
        raise BadInput('stdin: the first line must be JSON, {"room": "token"}.') from None
    missing = [room for room in rooms if not isinstance(tokens, dict) or not isinstance(tokens.get(room), str)]
    if missing:
        raise BadInput(f"stdin: there is no token for {', '.join(missing)}.")
    return {room: tokens[room] for room in rooms}


def _redacting_filter(tokens: Collection[str]) -> Callable[[logging.LogRecord], bool]:
    """Return a log filter that removes tokens: the server's response to a rejected one contains it and is logged."""

    def redact(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        for token in tokens:
            message = message.replace(token, "<token>")
        record.msg, record.args = message, ()
        return True

    return redact


async def _closed(stdin: asyncio.StreamReader) -> None:
    """Discard all input until stdin is closed."""
    while await stdin.read(4_096):
        pass


def seconds(text: str) -> float:
    """Parse the length of a visit; argparse shows this function's name in the error for an invalid number."""
    parsed = float(text)
    if not 0 < parsed < math.inf:
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return parsed
