"""Refuse files of secrets that every user of the machine can read."""

from __future__ import annotations

import stat
from pathlib import Path

from routing.errors import ConfigurationError


def refuse_readable_by_others(file: Path, setting: str = "keys.file") -> None:
    """Raise ConfigurationError if every user of the machine can read or write a file of keys; OSError if it is gone."""
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o006:
        raise ConfigurationError(
            f"{file}: has mode {mode:04o}, so every user of this machine can read or change its keys; chmod 600 it.",
            setting,
        )
