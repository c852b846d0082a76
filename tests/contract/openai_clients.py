"""OpenAI's SDK at the emulator, with its strict response validation on."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from cluster.lab.emulator import Emulator


def connect(emulator: Emulator) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key="k",
        base_url=f"{emulator.url}/openai/v1",
        max_retries=0,
        http_client=openai.DefaultAioHttpClient(),
        _strict_response_validation=True,
    )


async def refusal(client: openai.AsyncOpenAI, path: str, body: dict[str, Any]) -> openai.BadRequestError:
    """Send a body as it is, without the fields that are `__delete__`, and return the error."""
    body = {name: value for name, value in body.items() if value != "__delete__"}
    with pytest.raises(openai.BadRequestError) as failed:
        await client.post(path, cast_to=object, body=body)
    return failed.value
