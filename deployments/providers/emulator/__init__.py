"""A local server that speaks the vendors' wire protocols, so that the real SDKs are run without keys."""

from deployments.providers.emulator.faults import Fault, Seen
from deployments.providers.emulator.server import Emulator

__all__ = ["Emulator", "Fault", "Seen"]
