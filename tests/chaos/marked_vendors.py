"""The emulator as all vendors, with the marker of each request beside its request log."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import random
import re
import time
from collections.abc import Iterator

from cluster.lab.emulator.core.content import measure
from cluster.lab.emulator.core.latency import LatencyModel
from cluster.lab.emulator.core.request import EmulatedRequest, EmulatorState, ParsedRequest
from cluster.lab.emulator.core.request_log import LoggedRequest
from routing.catalogue import load_catalogue
from routing.models import Usage

_MARKER = re.compile(r"marker-[0-9a-z-]+")
SPEED = 4.0


class MarkedVendors(EmulatorState):
    """The state of the emulator. A marker is a word of the prompt, or the digest of a picture or of a text to embed."""

    def __init__(self, seed: int, speed: float = SPEED) -> None:
        super().__init__(latency=LatencyModel(random.Random(seed), speed=speed or math.inf))
        self.markers: dict[int, tuple[str, float]] = {}
        """The marker of each request by its number, and the wall clock's time of its arrival."""

    def exchange(self, path: str, parsed: ParsedRequest) -> EmulatedRequest:
        return _MarkedRequest(self, path, parsed)

    def marked(self) -> Iterator[tuple[str, float, LoggedRequest]]:
        """Yield every request with its marker and the time of its arrival, in that order."""
        for number, (marker, arrived_at_s) in self.markers.items():
            line = self.journal.line(number)
            if line is not None:
                yield marker, arrived_at_s, line


class _MarkedRequest(EmulatedRequest):
    def __init__(self, vendors: MarkedVendors, path: str, parsed: ParsedRequest) -> None:
        super().__init__(vendors, path, parsed)
        self._markers = vendors.markers

    async def __aenter__(self) -> EmulatedRequest:
        entered = await super().__aenter__()
        self._markers[self._number] = (marker_of(self.request), time.time())
        return entered


def marker_of(parsed: ParsedRequest) -> str:
    """Return the marker of a request; an empty one for a request of nobody, such as a list of models."""
    for message in reversed(parsed.turns):
        if found := _MARKER.search(message.text):
            return found.group()
        for image in message.images:
            return marker_of_bytes(image)
    return parsed.inputs[0].digest.hex() if parsed.inputs else ""


def marker_of_bytes(data: bytes) -> str:
    """Return the marker of a picture."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def marker_of_text(text: str) -> str:
    """Return the marker of a text that is embedded."""
    content = measure([text])
    assert content is not None
    return content.digest.hex()


class PriceList:
    """Prices of the vendors' log lines, by the vendors' own model names."""

    def __init__(self) -> None:
        self._catalogue = load_catalogue()
        self._names = {model.vendor_name: name for name, model in self._catalogue.models.items()}
        self._today = dt.datetime.now(dt.UTC).date()

    def model(self, line: LoggedRequest) -> str:
        return self._names.get(line.model, line.model)

    def cost_nanousd(self, line: LoggedRequest) -> int:
        """Return the charge of one request. A refused one costs nothing."""
        if line.status not in (0, 200) or line.model not in self._names:
            return 0
        return self._catalogue.price(self.model(line), self._today).cost_nanousd(usage_of(line))


def usage_of(line: LoggedRequest) -> Usage:
    """Return the units that a vendor charges for."""
    return Usage(
        input_tokens=line.prompt_tokens,
        cached_input_tokens=line.cached_tokens,
        cache_write_tokens=line.cache_write_tokens,
        cache_write_1h_tokens=line.cache_write_1h_tokens,
        output_tokens=line.completion_tokens,
        thinking_tokens=line.thinking_tokens,
        image_px=line.image_px if line.vendor == "voyage" else 0,
    )
