"""OpenAI's SDK at the emulator, with its strict response validation on."""

from __future__ import annotations

import openai

from cluster.lab.emulator import Emulator


def connect(emulator: Emulator) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key="k",
        base_url=f"{emulator.url}/openai/v1",
        max_retries=0,
        http_client=openai.DefaultAioHttpClient(),
        _strict_response_validation=True,
    )
