"""Write the result of a run as a table in Markdown, differences first."""

from __future__ import annotations

from tests.chaos.books import Comparison
from tests.chaos.money_path import MoneyPathResult
from tests.chaos.system import SystemResult

DIFFERENCES_SHOWN = 30


def money_path_table(result: MoneyPathResult, seed: int) -> str:
    """Return the table of one run of the money path."""
    kills = ", ".join(f"{times} x {place}" for place, times in sorted(result.kills.items()))
    lines = [f"## Money path, seed {seed}, {result.seconds:.0f} s", f"faults: {kills}", *rows(result.comparison)]
    counts = {name: value for name, value in sorted(result.counts.items()) if value}
    return "\n".join([*lines, f"counters of the last aggregator: {counts}", *differences(result.comparison), ""])


def system_table(result: SystemResult, seed: int) -> str:
    """Return the table of one run of the whole system."""
    faults = ", ".join(f"{times} x {fault}" for fault, times in sorted(result.faults.items()))
    statuses = ", ".join(f"{times} x {status}" for status, times in sorted(result.statuses.items()))
    lines = [f"## Whole system, seed {seed}, {result.seconds:.0f} s", f"faults: {faults}", f"responses: {statuses}"]
    client_faults = [f"CLIENT FAULTS: {len(result.client_faults)}", *result.client_faults[:DIFFERENCES_SHOWN]]
    return "\n".join([*lines, *rows(result.comparison), *differences(result.comparison), *client_faults, ""])


def rows(result: Comparison) -> list[str]:
    """Return the figures of a comparison."""
    answers = ", ".join(f"{times} {status}" for status, times in sorted(result.answers.items()))
    lines = [
        f"answers: {answers}",
        "",
        "| | events | nUSD |",
        "|---|---:|---:|",
        f"| vendor's log | {result.vendor_calls} | {result.vendor_nanousd} |",
        f"| journal | {result.events} | {result.journal_nanousd} |",
        f"| backend | | {result.backend_nanousd} |",
        f"| estimates in the journal | {_share(result.estimates, result)} | {result.estimated_nanousd} |",
        f"| ... for clients that stayed | {_share(result.estimates_of_stayed, result)} | |",
        f"| the vendor's log of the same | | {result.estimates_vendor_nanousd} ({result.estimate_error:+.1%}) |",
    ]
    for name, (events, booked, vendor) in sorted(result.estimates_by_knowledge.items()):
        lines.append(f"| ... {name} | {events} | {booked}, the vendor's log {vendor} |")
    if result.lost_nanousd:
        lines.append(f"| lost with a journal, after its backup | {result.lost_events} open | {result.lost_nanousd} |")
    return [*lines, f"| correction rows | {result.corrections} | |"]


def _share(events: int, result: Comparison) -> str:
    return f"{events} ({events / max(1, result.events):.1%})"


def differences(result: Comparison) -> list[str]:
    """Return the differences, the first `DIFFERENCES_SHOWN` of each kind."""
    never_left, found = result.never_left, result.differences
    return [
        f"estimated although nothing left: {len(never_left)}",
        *never_left[:DIFFERENCES_SHOWN],
        f"DIFFERENCES: {len(found)}",
        *found[:DIFFERENCES_SHOWN],
    ]
