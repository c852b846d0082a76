"""Read the text of an image by OCR, the largest lines first."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from PIL import Image

from cluster.lab.emulator.core.content import image_header
from cluster.lab.emulator.engines.library import library

MAX_REMEMBERED: Final = 256
LEAST_CONFIDENCE: Final = 0.7
NOTHING: Final = "The screen shows no text."


@dataclass(frozen=True, slots=True, kw_only=True)
class TextLine:
    """A line of text in a picture, without its spaces as a rule, and how high its letters are."""

    text: str = field(repr=False)
    height_px: float


class OcrEngine:
    """Reads JPEGs with a cache, because the same frame arrives alone and again with a question."""

    def __init__(self) -> None:
        # Frames stand upright; one thread, for the tests' other processes need the other cores.
        self._read_text: Any = library("rapidocr_onnxruntime").RapidOCR(
            use_cls=False, intra_op_num_threads=1, inter_op_num_threads=1
        )
        self._lock = threading.Lock()
        self._remembered: OrderedDict[bytes, tuple[TextLine, ...]] = OrderedDict()

    def read(self, jpeg: bytes) -> tuple[TextLine, ...]:
        """Return the lines, the largest first; none where there are none, or `jpeg` is no picture."""
        digest = hashlib.blake2b(jpeg, digest_size=16).digest()
        with self._lock:
            if digest not in self._remembered:
                self._remembered[digest] = self._look(jpeg)
                if len(self._remembered) > MAX_REMEMBERED:
                    self._remembered.popitem(last=False)
            return self._remembered[digest]

    def describe(self, jpeg: bytes) -> str:
        """Return a description of an image, worded like a vision model's answer."""
        lines = [line.text for line in self.read(jpeg)]
        return f"The screen shows {', '.join(lines)}." if lines else NOTHING

    def _look(self, jpeg: bytes) -> tuple[TextLine, ...]:
        if image_header(jpeg) is None:
            return ()
        try:
            with Image.open(io.BytesIO(jpeg)) as image:
                # Blue first: the reader's models were made with OpenCV.
                pixels = np.asarray(image.convert("RGB"))[:, :, ::-1]
        except (OSError, ValueError):
            return ()
        found, _ = self._read_text(pixels)
        # Each row: the corners, clockwise from the upper left; the text; how sure it is.
        lines = [
            TextLine(text=text, height_px=corners[3][1] - corners[0][1])
            for corners, text, confidence in found or ()
            if float(confidence) >= LEAST_CONFIDENCE
        ]
        return tuple(sorted(lines, key=lambda line: -line.height_px))
