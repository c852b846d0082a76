"""Switches off the parts of livekit-agents and livekit-rtc that cost every room something and that no room uses."""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import cache

import structlog

LOOP_MONITOR = "LIVEKIT_AGENTS_LOOP_BLOCK_WARN_MS"
LOCAL_INFERENCE = "LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE"
MALLOC_ARENAS = "MALLOC_ARENA_MAX"

log = structlog.get_logger()


def tune_environment(environment: MutableMapping[str, str], *, judges_pauses: bool) -> None:
    """Set the variables of the job processes, before the first of them starts. A variable that is set already stays.

    The loop monitor wakes every process 50 times a second. Of the models of local inference the turn detector's takes
    244 MB a worker, and no room uses it unless the model `judges_pauses`: then the job processes share it, where each
    would load its own. The voice detector's takes 1 MB and loads in 4 ms with its first room. Each arena of malloc
    keeps memory of its own; two are enough for a job.
    """
    environment.setdefault(LOOP_MONITOR, "0")
    environment.setdefault(MALLOC_ARENAS, "2")
    environment.setdefault(LOCAL_INFERENCE, "1" if judges_pauses else "0")


@cache
def stop_native_logs() -> bool:
    """Keep the debug records of livekit-rtc's native library out of Python, which parses and then drops each one.

    The library has no setting for it, so it is initialized once more with the same callback. Its errors go to stderr.
    Returns False where another version of livekit-rtc has other names: the records then cost an idle room a third of
    its processor time, and nothing else.
    """
    try:
        from livekit.rtc import _ffi_client
        from livekit.rtc.version import __version__

        library = _ffi_client.FfiClient.instance._ffi_lib
        library.livekit_ffi_initialize(_ffi_client.ffi_event_callback, False, b"python", __version__.encode("ascii"))
    except (ImportError, AttributeError) as error:
        log.warning("native log records not stopped", error=type(error).__name__)
        return False
    return True
