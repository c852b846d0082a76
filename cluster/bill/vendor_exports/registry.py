"""Read the exports of any vendor, and add up their rows by day and model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cluster.bill.vendor_exports import anthropic, deepgram, elevenlabs, google, openai
from cluster.bill.vendor_exports.models import BrokenRow, ModelNames, Parsed
from cluster.bill.vendor_exports.reading import UnreadableExport
from routing.models import Service

PARSERS: Mapping[str, Callable[[Path], Parsed]] = {
    "openai": openai.parse,
    "anthropic": anthropic.parse,
    "gemini": google.parse,
    "deepgram": deepgram.parse,
    "elevenlabs": elevenlabs.parse,
}
"""The parser of each vendor, by the vendor's name on the bill."""


@dataclass(frozen=True, slots=True)
class VendorReport:
    """The sums of a vendor's exports, and the parts of them that cannot be read."""

    amounts: dict[tuple[int, str], dict[str, int]] = field(default_factory=dict)
    """By day and model, the amount of each measure."""
    covered: dict[str, set[Service]] = field(default_factory=lambda: defaultdict(set))
    """By measure, the services whose usage the exports count."""
    broken: list[BrokenRow] = field(default_factory=list)


def read_report(vendor: str, files: Iterable[Path], names: ModelNames) -> VendorReport:
    """Return the sums of a vendor's files; a file that cannot be read is one of the broken parts."""
    report = VendorReport()
    for path in files:
        try:
            for row in PARSERS[vendor](path):
                if isinstance(row, BrokenRow):
                    report.broken.append(row)
                    continue
                sums = report.amounts.setdefault((row.day, names.of_export(row.model)), {})
                for measure, amount in row.amounts.items():
                    sums[measure] = sums.get(measure, 0) + amount
                    report.covered[measure] |= row.services
        except UnreadableExport as error:
            report.broken.append(BrokenRow(place=path.name, problem=str(error)))
    return report
