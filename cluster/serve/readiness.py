"""Wait until the deployed app answers over HTTP that it is ready."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import httpx

from cluster.serve.app_process import DeployFailed

READY_TIMEOUT_S = 120.0
POLL_S = 0.5
REQUEST_TIMEOUT_S = 5.0


def wait_until_ready(
    url: str, stop: threading.Event, timeout_s: float = READY_TIMEOUT_S, clock: Callable[[], float] = time.monotonic
) -> None:
    """Wait until `url` answers with success, or until `stop`; raises DeployFailed with the last answer."""
    end_s = clock() + timeout_s
    while not stop.is_set():
        answer = _answer(url)
        if answer is None:
            return
        if clock() >= end_s:
            raise DeployFailed(f"The app is deployed, but {url} is not ready after {timeout_s:.0f} s: {answer}")
        stop.wait(POLL_S)


def _answer(url: str) -> str | None:
    """Return the failure of a request, or None for success."""
    try:
        response = httpx.get(url, timeout=REQUEST_TIMEOUT_S)
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    return None if response.is_success else f"{response.status_code} {response.text[:300]}"
