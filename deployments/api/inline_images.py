"""Read the images that a body holds inline, as data URLs."""

from __future__ import annotations

import base64
import binascii

from deployments.api.jpeg import inspect_jpeg
from routing.chat import Image
from routing.errors import BadInput

_DATA_URL = "data:image/jpeg;base64,"


def inline_jpeg(url: str, param: str, max_px: int) -> Image:
    """Return the JPEG of a data URL; raises BadInput for any other URL: images are never fetched."""
    if not url.startswith(_DATA_URL):
        raise BadInput(f"{param}: must be an inline JPEG, {_DATA_URL}...; images are not fetched.", param)
    try:
        data = base64.b64decode(url[len(_DATA_URL) :], validate=True)
    except binascii.Error:
        raise BadInput(f"{param}: is not valid base64.", param) from None
    size = inspect_jpeg(data, max_px)
    return Image(data=data, width_px=size.width_px, height_px=size.height_px)
