"""Switch a scenario's vendor faults on and off at the emulator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp

from cluster.lab.load.prometheus import AppSamples
from cluster.lab.scenario.scenario import VendorFault
from routing.errors import RayroomError

TIMEOUT_S = 5.0
UNLIMITED_TIMES = 1_000_000


class FaultsNotSet(RayroomError):
    """The emulator did not accept a fault, so the run does not follow the scenario."""

    code = "faults_not_set"


def fault_changes(faults: Sequence[VendorFault]) -> list[tuple[float, tuple[VendorFault, ...]]]:
    """Return each moment of a change, and the faults active from then on."""
    moments = sorted({moment for fault in faults for moment in (fault.from_s, fault.to_s)})
    return [(at_s, tuple(fault for fault in faults if fault.from_s <= at_s < fault.to_s)) for at_s in moments]


def fault_request(fault: VendorFault) -> dict[str, Any]:
    """Return the emulator's description of a fault."""
    effects: dict[str, Any] = {"delay_s": fault.slower_by_s}
    if fault.status is not None:
        effects["status"] = fault.status
    return {"fault": effects, "vendor": fault.vendor, "times": UNLIMITED_TIMES, "share": fault.share}


def description(fault: VendorFault) -> str:
    """Return a description of a fault for readers."""
    status = [] if fault.status is None else [f"status {fault.status}"]
    slower = [f"{fault.slower_by_s:g} s slower"] if fault.slower_by_s else []
    return f"{fault.share:.0%} of the requests: {', '.join([*status, *slower]) or 'nothing'}"


async def apply_faults(
    url: str, faults: Sequence[VendorFault], clock: Callable[[], float], samples: AppSamples
) -> None:
    """Set the faults at their scheduled times; raises FaultsNotSet."""
    timeout, previous = aiohttp.ClientTimeout(total=TIMEOUT_S), set[VendorFault]()
    async with aiohttp.ClientSession(timeout=timeout) as http:
        for at_s, active in fault_changes(faults):
            await asyncio.sleep(max(0.0, at_s - clock()))
            try:
                # All faults are replaced at each change, because a fault at the emulator has no name.
                (await http.delete(url)).raise_for_status()
                for fault in active:
                    (await http.post(url, json=fault_request(fault))).raise_for_status()
            except (aiohttp.ClientError, TimeoutError) as error:
                raise FaultsNotSet(f"The emulator did not take a fault: {type(error).__name__}.") from None
            for fault in set(active) - previous:
                samples.event(clock(), "fault", fault.vendor, f"begins: {description(fault)}")
            for fault in previous - set(active):
                samples.event(clock(), "fault", fault.vendor, f"ends: {description(fault)}")
            previous = set(active)
