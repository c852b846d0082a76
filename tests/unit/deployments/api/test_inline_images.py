"""Images are read from data URLs, by the type of their bytes, and never fetched."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from deployments.api.inline_images import inline_image
from routing.errors import BadInput, TooLarge

PARAM = "messages.0.content.1.image_url.url"


def encoded(kind: str) -> str:
    out = io.BytesIO()
    Image.new("RGB", (8, 4), "white").save(out, kind)
    return base64.b64encode(out.getvalue()).decode()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("named", ["image/jpeg", "image/JPG", "IMAGE/png", "image/webp", "image/gif;charset=utf-8"])
def test_an_image_has_the_type_of_its_bytes(kind: str, named: str) -> None:
    image = inline_image(f"data:{named};base64,{encoded(kind)}", PARAM, 1_000)
    assert (image.media_type, image.width_px, image.height_px) == (f"image/{kind.lower()}", 8, 4)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/x.png",
        "file:///etc/passwd",
        "data:image/svg+xml;base64,PHN2Zz4=",
        "data:text/plain;base64,aGVsbG8=",
        "data:image/png,hello",
        "data:image/png;base64,%%%",
        "data:image/png;base64,aGVsbG8=",
        "",
    ],
)
def test_another_url_is_refused_with_its_path(url: str) -> None:
    with pytest.raises(BadInput) as refused:
        inline_image(url, PARAM, 1_000)
    assert (refused.value.status, refused.value.param) == (400, PARAM)


def test_an_image_of_too_many_pixels_is_refused_with_its_path() -> None:
    with pytest.raises(TooLarge) as refused:
        inline_image(f"data:image/png;base64,{encoded('PNG')}", PARAM, 31)
    assert refused.value.param == PARAM
