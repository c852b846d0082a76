"""What the emulator may understand by itself: it reads, hears, thinks by a rule, speaks. Needs the extra `senses`."""

from cluster.lab.emulator.core.engines import Senses
from cluster.lab.emulator.engines.load import all_senses

__all__ = ["Senses", "all_senses"]
