"""Find rayroom's own keys where a process runs: in its environment, or in a file that only its owner can read."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog
from filelock import FileLock

from deployments.api.access.keys import Keys
from deployments.common.private_files import refuse_readable_by_others
from routing.errors import ConfigurationError

AGENT, ADMIN, SECRET = "RAYROOM_AGENT_KEYS", "RAYROOM_ADMIN_KEYS", "RAYROOM_TOKEN_SECRET"
DISPATCH_SECRET = "RAYROOM_DISPATCH_SECRET"
MIN_KEY_CHARS = 16
MIN_SECRET_BYTES = 32
RELOAD_EVERY_S = 5.0
_REQUIRED = (AGENT, ADMIN, SECRET)
# A limited agent key is KEY@tenant or KEY@tenant+tenant.
_LIMITED = re.compile(r"(?P<key>.+)@(?P<tenants>[A-Za-z0-9.-]+(?:\+[A-Za-z0-9.-]+)*)")

log = structlog.get_logger()


class KeyFile:
    """The keys of this process: those of its environment, the missing ones from a file that is read again on a change.

    Pickled, it is the file's path: no key travels to another process, each finds its own.
    """

    def __init__(
        self,
        path: Path,
        environment: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._environment = os.environ if environment is None else environment
        self._clock = clock
        self._keys: Keys | None = None
        self._version: tuple[int, ...] | None = None
        self._checked_at_s = 0.0

    def __reduce__(self) -> tuple[Any, ...]:
        return KeyFile, (self._path,)

    def current(self) -> Keys:
        """Return the keys; looks at the file every `RELOAD_EVERY_S`. A wrong file leaves the former keys valid.

        Raises ConfigurationError where there are no former keys.
        """
        now_s = self._clock()
        if self._keys is None:
            self._version = _version(self._path)
            self._keys = read_keys(self._environment, self._path)
            self._checked_at_s = now_s
        elif now_s - self._checked_at_s >= RELOAD_EVERY_S:
            self._checked_at_s = now_s
            self._keys = self._reloaded(self._keys)
        return self._keys

    def _reloaded(self, former: Keys) -> Keys:
        version = _version(self._path)
        if version == self._version:
            return former
        self._version = version
        try:
            keys = read_keys(self._environment, self._path)
        except ConfigurationError as error:
            log.error("keys file rejected: the former keys stay valid", file=str(self._path), reason=error.message)
            return former
        log.info("keys read again", file=str(self._path))
        return keys


def find_keys(environment: Mapping[str, str], file: Path) -> Keys:
    """Return the environment's keys; missing ones are read from `file`, or generated and written there.

    Raises ConfigurationError for a short key, and for a file that others can read.
    """
    if not all(environment.get(name, "").strip() for name in _REQUIRED):
        _complete_file(file)
    return read_keys(environment, file)


def read_keys(environment: Mapping[str, str], file: Path) -> Keys:
    """Return the environment's keys, and the missing ones from `file`; raises ConfigurationError."""
    names = (*_REQUIRED, DISPATCH_SECRET)
    values = {name: environment[name].strip() for name in names if environment.get(name, "").strip()}
    if len(values) < len(names):
        values = {name: value for name, value in read_keys_file(file).items() if name in names} | values
    for name in _REQUIRED:
        if not values.get(name):
            raise ConfigurationError(
                f"{name}: neither the environment of this node nor {file} has it; set it on every node with a router.",
                name,
            )
    agent = [_limited(key) for key in _split(AGENT, values)]
    token_secrets = _secrets(SECRET, values)
    return Keys(
        agent=_long_enough(AGENT, [key for key, _ in agent]),
        admin=_long_enough(ADMIN, _split(ADMIN, values)),
        token_secret=token_secrets[0],
        former_token_secrets=token_secrets[1:],
        agent_tenants={key: tenants for key, tenants in agent if tenants is not None},
        dispatch_secrets=_secrets(DISPATCH_SECRET, values) if values.get(DISPATCH_SECRET) else (),
    )


def read_keys_file(file: Path) -> dict[str, str]:
    """Return the `NAME=value` lines of a keys file, or an empty dict when the file is missing.

    Raises ConfigurationError for a file that other users of the machine can read.
    """
    try:
        refuse_readable_by_others(file)
        lines = file.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file}: cannot be read: {type(error).__name__}.", "keys.file") from None
    pairs = (line.removeprefix("export ").partition("=") for line in lines if "=" in line and not line.startswith("#"))
    try:
        return {name: "".join(shlex.split(value)) for name, _, value in pairs}
    except ValueError:
        raise ConfigurationError(f"{file}: a value has a quote without its end.", "keys.file") from None


def _version(file: Path) -> tuple[int, ...] | None:
    """Return a value that changes when the file does; None without a file."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size, found.st_mode


def _complete_file(file: Path) -> None:
    """Add the missing keys to the file; a lock lets one process at a time add them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        keys_of_file = read_keys_file(file)
        missing = [name for name in _REQUIRED if not keys_of_file.get(name)]
        if missing:
            keys_of_file |= {name: secrets.token_urlsafe(32) for name in missing}
            _write(file, keys_of_file)
            log.warning("keys generated: the environment has none", keys=missing, file=str(file))


def _write(file: Path, keys_of_file: Mapping[str, str]) -> None:
    """Write the file atomically, with mode 0600 from the first byte."""
    temporary = file.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write("# Generated by rayroom: the environment had no keys. `set -a; . FILE; set +a` exports them.\n")
        stream.writelines(f"{name}={shlex.quote(value)}\n" for name, value in keys_of_file.items())
    temporary.replace(file)


def _split(name: str, values: Mapping[str, str]) -> list[str]:
    return [part.strip() for part in values[name].split(",") if part.strip()]


def _limited(entry: str) -> tuple[str, frozenset[str] | None]:
    """Return an agent key and the tenants that stand behind its last `@`; None for all tenants."""
    match = _LIMITED.fullmatch(entry)
    return (entry, None) if match is None else (match["key"], frozenset(match["tenants"].split("+")))


def _long_enough(name: str, keys: list[str]) -> tuple[str, ...]:
    if not keys or any(len(key) < MIN_KEY_CHARS for key in keys):
        raise ConfigurationError(f"{name}: each key needs {MIN_KEY_CHARS} characters or more; set a longer one.", name)
    return tuple(keys)


def _secrets(name: str, values: Mapping[str, str]) -> tuple[str, ...]:
    found = _split(name, values)
    if not found or any(len(secret.encode()) < MIN_SECRET_BYTES for secret in found):
        raise ConfigurationError(f"{name}: each needs {MIN_SECRET_BYTES} bytes or more; set a longer one.", name)
    return tuple(found)
