"""A JPEG for requests of vendors' SDKs."""

from __future__ import annotations

import io

from PIL import Image


def jpeg(width_px: int = 640, height_px: int = 360) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width_px, height_px), "white").save(out, "JPEG")
    return out.getvalue()
