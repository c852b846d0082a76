"""An image in a data URL is read by its bytes, however its sender spells its type."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from deployments.api.inline_images import inline_image
from routing.errors import BadInput


def data_url(kind: str, media_type: str) -> str:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(file, kind)
    return f"data:{media_type};base64,{base64.b64encode(file.getvalue()).decode()}"


@pytest.mark.parametrize(
    ("kind", "named", "read"),
    [
        ("JPEG", "image/jpeg", "image/jpeg"),
        ("JPEG", "image/JPEG", "image/jpeg"),
        ("JPEG", "image/jpg", "image/jpeg"),
        ("JPEG", "image/jpeg;charset=utf-8", "image/jpeg"),
        ("PNG", "image/png", "image/png"),
        ("PNG", "image/jpeg", "image/png"),
        ("WEBP", "image/webp", "image/webp"),
        ("GIF", "image/gif", "image/gif"),
    ],
)
def test_an_image_has_the_type_of_its_bytes_and_its_size(kind: str, named: str, read: str) -> None:
    image = inline_image(data_url(kind, named), "image", 10_000)
    assert (image.media_type, image.width_px, image.height_px) == (read, 64, 48)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.png",
        "data:image/svg+xml;base64,AAAA",
        "data:text/plain;base64,AAAA",
        "data:image/png,AAAA",
        "data:image/png;base64,?",
        "data:image/png;base64,AAé=",
        "data:image/png;base64,AAAA",
        "",
    ],
)
def test_any_other_url_is_refused_with_the_name_of_its_field(url: str) -> None:
    with pytest.raises(BadInput) as refused:
        inline_image(url, "messages.0.content.1.image_url.url", 10_000)
    assert refused.value.param == "messages.0.content.1.image_url.url"
