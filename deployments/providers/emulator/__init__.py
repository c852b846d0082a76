"""A local server that speaks the vendors' wire protocols, so that the real SDKs are run without keys."""

from deployments.providers.emulator.exchange import House
from deployments.providers.emulator.faults import Extras, Fault
from deployments.providers.emulator.journal import Seen
from deployments.providers.emulator.pace import Pace
from deployments.providers.emulator.pressure import Limits, Load
from deployments.providers.emulator.server import Emulator

__all__ = ["Emulator", "Extras", "Fault", "House", "Limits", "Load", "Pace", "Seen"]
