"""Startup objects are exempt from garbage collection; later garbage is collected."""

from __future__ import annotations

import subprocess
import sys

from routing.process import freeze_startup_objects

# In a separate process, because frozen objects stay frozen.
PROGRAM = f"""
import gc, weakref
from {freeze_startup_objects.__module__} import freeze_startup_objects
class Ring:
    def __init__(self): self.me = self
freeze_startup_objects()
frozen, looked_at = gc.get_freeze_count(), len(gc.get_objects())
ring = weakref.ref(Ring())
gc.collect()
print(frozen > 1_000, looked_at < frozen / 10, ring() is None)
"""


def test_startup_objects_are_frozen_and_later_garbage_is_collected() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert result.stdout.split() == ["True", "True", "True"], result.stderr
