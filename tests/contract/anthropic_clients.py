"""Anthropic's SDK at the emulator, with its strict response validation on."""

from __future__ import annotations

import anthropic

from cluster.lab.emulator import Emulator


def connect(emulator: Emulator) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(
        api_key="k",
        base_url=f"{emulator.url}/anthropic",
        max_retries=0,
        http_client=anthropic.DefaultAioHttpClient(),
        _strict_response_validation=True,
    )
