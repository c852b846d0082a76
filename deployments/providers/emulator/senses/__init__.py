"""What the emulator may understand by itself: it reads, hears, thinks by a rule, speaks. Needs the extra `senses`."""

from deployments.providers.emulator.senses.seams import Senses
from deployments.providers.emulator.senses.whole import all_senses

__all__ = ["Senses", "all_senses"]
