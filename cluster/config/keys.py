"""Finds the keys that open rayroom, or makes them once and keeps them in a file only its owner can read."""

from __future__ import annotations

import fcntl
import os
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path

import structlog

from deployments.api.auth import Keys
from routing.errors import ConfigurationError

AGENT, ADMIN, SECRET = "RAYROOM_AGENT_KEYS", "RAYROOM_ADMIN_KEYS", "RAYROOM_TOKEN_SECRET"
SHORTEST_KEY = 16
SHORTEST_SECRET = 32

log = structlog.get_logger()


def find_keys(environment: Mapping[str, str], file: Path) -> Keys:
    """Return the environment's keys; those it does not have are read from `file`, or made at random and written there.

    Raises ConfigurationError for a key that is too short to be safe.
    """
    found = {name: environment[name].strip() for name in (AGENT, ADMIN, SECRET) if environment.get(name, "").strip()}
    if len(found) < 3:
        found = _kept(file) | found
    return Keys(agent=_several(AGENT, found), admin=_several(ADMIN, found), token_secret=_secret(found[SECRET]))


def read_keys_file(file: Path) -> dict[str, str]:
    """Return the `NAME=value` lines of a keys file, or nothing where there is none."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.removeprefix("export ").partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name: "".join(shlex.split(value)) for name, _, value in pairs}


def _kept(file: Path) -> dict[str, str]:
    """Return the file's keys, completed; only one process at a time completes them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = read_keys_file(file)
        missing = [name for name in (AGENT, ADMIN, SECRET) if not kept.get(name)]
        if missing:
            kept |= {name: secrets.token_urlsafe(32) for name in missing}
            _write(file, kept)
            log.warning("keys were not in the environment: random ones were made", keys=missing, file=str(file))
    return kept


def _write(file: Path, kept: Mapping[str, str]) -> None:
    """Write the file so that it is never there without being whole, nor readable by anyone else."""
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write("# Made by rayroom because the environment had none. `set -a; . FILE; set +a` exports them.\n")
        out.writelines(f"{name}={kept[name]}\n" for name in (AGENT, ADMIN, SECRET))
    new.replace(file)


def _several(name: str, found: Mapping[str, str]) -> tuple[str, ...]:
    keys = tuple(key.strip() for key in found[name].split(",") if key.strip())
    if not keys or any(len(key) < SHORTEST_KEY for key in keys):
        raise ConfigurationError(f"{name}: each key needs {SHORTEST_KEY} characters or more; make new ones.", name)
    return keys


def _secret(secret: str) -> str:
    if len(secret.encode()) < SHORTEST_SECRET:
        raise ConfigurationError(f"{SECRET}: needs {SHORTEST_SECRET} bytes or more; this one is guessable.", SECRET)
    return secret
