"""A local server for the vendors' wire protocols, so that their real SDKs run without API keys."""

from cluster.lab.emulator.core.capacity import RateLimits, VendorLoad
from cluster.lab.emulator.core.faults import Extras, Fault
from cluster.lab.emulator.core.latency import LatencyModel
from cluster.lab.emulator.core.request import EmulatorState
from cluster.lab.emulator.core.request_log import LoggedRequest
from cluster.lab.emulator.server import Emulator

__all__ = ["Emulator", "EmulatorState", "Extras", "Fault", "LatencyModel", "LoggedRequest", "RateLimits", "VendorLoad"]
