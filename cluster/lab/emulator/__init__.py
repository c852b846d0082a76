"""A local server that speaks the vendors' wire protocols, so that the real SDKs are run without keys."""

from cluster.lab.emulator.core.capacity import Limits, Load
from cluster.lab.emulator.core.faults import Extras, Fault
from cluster.lab.emulator.core.latency import Pace
from cluster.lab.emulator.core.request import House
from cluster.lab.emulator.core.request_log import Seen
from cluster.lab.emulator.server import Emulator

__all__ = ["Emulator", "Extras", "Fault", "House", "Limits", "Load", "Pace", "Seen"]
