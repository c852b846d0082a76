"""Keeps conversations out of the log: where speech fails, log lines of livekit and its plugins quote texts."""

from __future__ import annotations

import logging

_LOGGERS = (
    "livekit.agents",
    "livekit.plugins.deepgram",
    "livekit.plugins.elevenlabs",
    "livekit.plugins.openai",
    "openai",
    # It logs the errors of tasks that were never awaited, those of livekit's among them.
    "asyncio",
)
# The worker's own lines, about jobs and processes, quote nobody.
_UNREDACTED_PATHS = ("/agents/worker.py", "/agents/job.py", "/agents/ipc/", "/agents/cli/")
_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({})))


class RedactionFilter(logging.Filter):
    """Reduces a log line to its place in the code and the type of its error."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record in place; return True, so that it is logged."""
        if any(part in record.pathname for part in _UNREDACTED_PATHS):
            return True
        error = f" {record.exc_info[0].__name__}" if record.exc_info and record.exc_info[0] else ""
        record.msg = f"{record.name} {record.module}.{record.funcName} line {record.lineno}{error}"
        record.args = record.exc_info = record.exc_text = record.stack_info = None
        # Fields passed as `extra` may quote texts too.
        for name in set(vars(record)) - _STANDARD_ATTRIBUTES:
            delattr(record, name)
        return True


def redact_logs() -> None:
    """Redact the log lines of this process that may quote speech, chat or screens. Idempotent."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, RedactionFilter) for one in logger.filters):
            logger.addFilter(RedactionFilter())
