"""LiveKit's OpenAI plugin with its default settings gets an answer though the first vendor is late."""

from __future__ import annotations

import time
from pathlib import Path

from livekit.agents import llm
from livekit.plugins import openai as livekit_openai

from cluster.lab.emulator import Emulator, Fault
from deployments.common.settings import ServiceSettings, TierSeconds, VendorSettings
from tests.support.credentials import room_token
from tests.support.gateway import SIMULATED, gateway_in_process, served

LUNA, FLASH = "gpt-6-luna", "gemini-3.5-flash-lite"
VENDORS = ("openai", "gemini")
LATE_S, WAITED_S = 12.0, 10.8


async def test_livekits_plugin_is_answered_by_the_second_vendor_when_the_first_is_12_s_late(tmp_path: Path) -> None:
    """Wait for the first vendor longer than the plugin waits for a byte: 5 s for its client, 10 s for each request.

    This takes about 12 s of real time, because the plugin's own timers are tested.
    """
    patience = TierSeconds(simple=WAITED_S)
    settings = ServiceSettings(simple=(LUNA, FLASH), complex=("gpt-6.1-sol",), first_token_timeout_s=patience)
    async with Emulator().running() as emulator:
        urls = emulator.base_urls()
        live = {name: VendorSettings.model_validate({"api": name, "base_url": urls[name]}) for name in VENDORS}
        emulator.plan(Fault(delay_s=LATE_S), model=LUNA, times=9)
        running = gateway_in_process(tmp_path, vendors=SIMULATED | live, llm=settings)
        async with running as (gateway, cluster), served(gateway) as url:
            client = livekit_openai.LLM(model="simple", api_key=room_token(), base_url=f"{url}/v1")
            context = llm.ChatContext.empty()
            context.add_message(role="user", content="What is on the screen?")
            began_s = time.monotonic()
            async with client.chat(chat_ctx=context) as stream:
                chunks = [chunk async for chunk in stream]
            took_s = time.monotonic() - began_s
            await client.aclose()
            models = [row["model"] for row in await cluster.events()]
    text = "".join(chunk.delta.content or "" for chunk in chunks if chunk.delta is not None)
    # One request, one attempt at each vendor: the plugin did not give up and begin again.
    assert text and models == [LUNA, FLASH] and took_s > WAITED_S
