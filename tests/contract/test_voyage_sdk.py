"""Voyage's SDK against the emulator."""

from __future__ import annotations

import base64
import math
from typing import Any

import pytest
import voyageai
from PIL import Image
from voyageai.client_async import AsyncClient

from cluster.lab.emulator import Emulator, EmulatorState, Fault, RateLimits
from tests.support.pictures import jpeg

MODEL = "voyage-multimodal-3.5"


@pytest.fixture
def client(emulator: Emulator) -> Any:
    return connect(emulator)


def connect(emulator: Emulator) -> Any:
    return AsyncClient(api_key="k", base_url=f"{emulator.url}/voyage/v1", max_retries=0, timeout=5)


async def test_a_text_and_a_picture_are_one_vector_and_counted_apart(client: Any, emulator: Emulator) -> None:
    picture = Image.new("RGB", (560, 10), "white")
    result = await client.multimodal_embed([["two words", picture], ["one"]], model=MODEL)
    assert [len(vector) for vector in result.embeddings] == [1_024, 1_024]
    assert math.hypot(*result.embeddings[0]) == pytest.approx(1.0)
    assert (result.text_tokens, result.image_pixels, result.video_pixels, result.total_tokens) == (3, 5_600, 0, 13)
    (seen,) = emulator.journal
    assert (seen.prompt_tokens, seen.image_px, seen.images, seen.completion_tokens) == (3, 5_600, 1, 0)


async def test_a_picture_may_come_as_a_data_url(client: Any) -> None:
    url = "data:image/jpeg;base64," + base64.b64encode(jpeg(100, 50)).decode()
    inputs: list[Any] = [{"content": [{"type": "text", "text": "see"}, {"type": "image_base64", "image_base64": url}]}]
    once, again = [(await client.multimodal_embed(inputs, model=MODEL)) for _ in range(2)]
    assert once.image_pixels == 5_000 and once.embeddings == again.embeddings


async def test_texts_alone_have_their_own_route(client: Any, emulator: Emulator) -> None:
    result = await client.embed(["one two", "three"], model="voyage-3.5", output_dimension=256)
    assert [len(vector) for vector in result.embeddings] == [256, 256] and result.total_tokens == 3
    assert emulator.journal[0].path == "/voyage/v1/embeddings"


ERRORS: dict[str, tuple[Fault, str]] = {
    "bad request": (Fault(status=400), "InvalidRequestError"),
    "bad key": (Fault(status=401), "AuthenticationError"),
    "rate limit": (Fault(status=429), "RateLimitError"),
    "server error": (Fault(status=500), "ServerError"),
    "bad gateway": (Fault(html=True), "ServiceUnavailableError"),
    "overloaded": (Fault(status=503), "ServiceUnavailableError"),
    "timeout": (Fault(status=504), "ServiceUnavailableError"),
}


@pytest.mark.parametrize("name", ERRORS)
async def test_an_error_is_of_the_vendors_own_type(name: str, client: Any, emulator: Emulator) -> None:
    fault, kind = ERRORS[name]
    emulator.plan(fault, vendor="voyage")
    with pytest.raises(getattr(voyageai.error, kind)) as failed:
        await client.multimodal_embed([["x"]], model=MODEL)
    assert failed.value.http_status == (fault.status or 502)
    # The SDK keeps a 5xx body as text.
    assert fault.html or '"detail"' in str(failed.value.http_body)


async def test_a_rate_limit_error_holds_no_time_to_wait() -> None:
    async with Emulator(EmulatorState(limits=RateLimits(requests_per_minute=1))).running() as emulator:
        client = connect(emulator)
        await client.multimodal_embed([["x"]], model=MODEL)
        with pytest.raises(voyageai.error.RateLimitError) as failed:
            await client.multimodal_embed([["x"]], model=MODEL)
    assert "retry-after" not in {name.lower() for name in failed.value.headers}


async def test_data_that_is_not_a_picture_is_refused(client: Any) -> None:
    url = "data:image/jpeg;base64," + base64.b64encode(b"no picture").decode()
    inputs: list[Any] = [{"content": [{"type": "image_base64", "image_base64": url}]}]
    with pytest.raises(voyageai.error.InvalidRequestError):
        await client.multimodal_embed(inputs, model=MODEL)


async def test_a_connection_that_breaks_is_an_error_of_the_connection(client: Any, emulator: Emulator) -> None:
    emulator.plan(Fault(reset_after_bytes=0))
    with pytest.raises(voyageai.error.APIConnectionError):
        await client.multimodal_embed([["x"]], model=MODEL)
    assert emulator.journal[0].status == 200
