"""Keeps what was said out of the log: livekit's own lines quote texts where speech fails. Knows no line by heart."""

from __future__ import annotations

import logging

_LOGGERS = (
    "livekit.agents",
    "livekit.plugins.deepgram",
    "livekit.plugins.elevenlabs",
    "livekit.plugins.openai",
    "openai",
    # It prints the errors of tasks that nobody waited for, theirs among them.
    "asyncio",
)
# The worker's own lines, of jobs and processes, quote nobody.
_SILENT_ABOUT_PEOPLE = ("/agents/worker.py", "/agents/job.py", "/agents/ipc/", "/agents/cli/")
_PLAIN = frozenset(vars(logging.makeLogRecord({})))


class RedactionFilter(logging.Filter):
    """Leaves of a line where it stands in the code, and the name of its error."""

    def filter(self, record: logging.LogRecord) -> bool:
        if any(part in record.pathname for part in _SILENT_ABOUT_PEOPLE):
            return True
        error = f" {record.exc_info[0].__name__}" if record.exc_info and record.exc_info[0] else ""
        record.msg = f"{record.name} {record.module}.{record.funcName} line {record.lineno}{error}"
        record.args = record.exc_info = record.exc_text = record.stack_info = None
        for name in set(vars(record)) - _PLAIN:
            delattr(record, name)
        return True


def redact_logs() -> None:
    """Have this process log nothing that was said, written or shown; harmless a second time."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, RedactionFilter) for one in logger.filters):
            logger.addFilter(RedactionFilter())
