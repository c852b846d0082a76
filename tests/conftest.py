"""The hooks of every run of pytest."""

from __future__ import annotations

import gc


def pytest_collection_finish() -> None:
    """Keep the modules that were imported out of all later garbage collections: they are most objects, and stay."""
    gc.collect()
    gc.freeze()
