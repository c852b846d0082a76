"""Import a library of the extra `senses` on demand; the error names the extra to install."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from routing.errors import ConfigurationError


def library(name: str) -> Any:
    """Return the module `name`. Raises ConfigurationError."""
    try:
        return import_module(name)
    except ImportError:
        raise ConfigurationError(
            f"{name} is missing: the emulator's engines need the extra `senses`. Run: pip install 'rayroom[senses]'",
            "senses",
        ) from None
