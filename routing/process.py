"""Set up a process: its log format and its garbage collector."""

from __future__ import annotations

import gc
import logging
import os
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from routing.telemetry.current_request import current_request_id

LEVEL = "RAYROOM_LOG_LEVEL"
FORMAT = "RAYROOM_LOG_FORMAT"
"""`json` for production; anything else is text for people."""


def configure_logs() -> None:
    """Configure structlog to write one line an event to stderr: JSON, or text for people, as `RAYROOM_LOG_FORMAT` says.

    structlog's default formatter prints the local variables of every frame of a traceback, and these include video
    frames, transcripts and keys.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            add_request_id,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *_rendering(os.environ.get(FORMAT, "")),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_level()),
        logger_factory=structlog.WriteLoggerFactory(open(2, "w", closefd=False, buffering=1)),
        cache_logger_on_first_use=False,
    )


def add_request_id(_: Any, __: str, event: EventDict) -> EventDict:
    """Add the id of the request that this task serves."""
    if request_id := current_request_id():
        event.setdefault("request_id", request_id)
    return event


def _rendering(form: str) -> list[Processor]:
    if form == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    return [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]


def _level() -> int:
    return logging.getLevelNamesMapping().get(os.environ.get(LEVEL, "INFO").upper(), logging.INFO)


def freeze_startup_objects() -> None:
    """Exclude every object alive now from garbage collection; call it once, when the process is ready to serve.

    With Serve and the vendors' SDKs imported, a full collection visits 350,000 objects and stops the process for
    175 ms (docs/measurements.md). Objects created later are still collected.
    """
    gc.collect()
    gc.freeze()
