"""Read the images that a body holds inline, as data URLs."""

from __future__ import annotations

import re

import pybase64

from deployments.api.image_size import IMAGE_TYPES, inspect_image
from routing.chat import Image
from routing.errors import BadInput

_DATA_URL = re.compile(r"data:([\w/+.-]{1,64})(?:;[\w-]{1,32}=[\w-]{1,32}){0,4};base64,", re.ASCII | re.IGNORECASE)


def inline_image(url: str, param: str, max_px: int) -> Image:
    """Return the image of a data URL, with the type that its bytes show; images at other URLs are never fetched.

    Raises BadInput, or TooLarge for more than `max_px` pixels.
    """
    head = _DATA_URL.match(url)
    if head is None or head[1].lower() not in IMAGE_TYPES:
        kinds = "JPEG, PNG, WebP or still GIF"
        raise BadInput(f"{param}: must be an inline {kinds}, data:image/...;base64,...; images are not fetched.", param)
    try:
        data = pybase64.b64decode(url[head.end() :], validate=True)
    except ValueError:
        raise BadInput(f"{param}: is not valid base64.", param) from None
    try:
        found = inspect_image(data, max_px)
    except BadInput as error:
        raise type(error)(f"{param}: {error.message}", param) from None
    return Image(data=data, media_type=found.media_type, width_px=found.size.width_px, height_px=found.size.height_px)
