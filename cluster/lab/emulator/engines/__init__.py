"""What the emulator may understand by itself: it reads, hears, thinks by a rule, speaks. Needs the extra `senses`."""

from cluster.lab.emulator.core.engines import Engines
from cluster.lab.emulator.engines.load import load_engines

__all__ = ["Engines", "load_engines"]
