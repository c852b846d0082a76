"""Sets up the log of a process: a fixed phrase with fields. Never shows a local variable, which may be a picture."""

from __future__ import annotations

import logging
import os

import structlog

LEVEL = "RAYROOM_LOG_LEVEL"


def configure_logs() -> None:
    """Have structlog write one line an event to stderr, an exception as its bare traceback.

    structlog's own default prints the locals of every frame of a traceback: frames, transcripts and keys among them.
    """
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_level()),
        logger_factory=structlog.WriteLoggerFactory(open(2, "w", closefd=False, buffering=1)),
        cache_logger_on_first_use=False,
    )


def _level() -> int:
    return logging.getLevelNamesMapping().get(os.environ.get(LEVEL, "INFO").upper(), logging.INFO)
