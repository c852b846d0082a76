"""Runs a plain livekit-agents session that calls the vendors itself and records timestamps.

This is the usual starting point: livekit's own turn handling and plugins, without router, knowledge or metering.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import aiohttp
from livekit import rtc
from livekit.agents import Agent, AgentSession, FlushSentinel, ModelSettings, inference, llm
from livekit.agents.voice.turn import TurnHandlingOptions
from livekit.plugins import openai

from room_agent.audio.plugins import stt_plugins, tts_plugins
from room_agent.core.settings import SpeechSettings
from tests.benchmarks.voice_turn import Stamps

CLOSE_TIMEOUT_S = 10.0
INSTRUCTIONS = "You take part in a live meeting. Your answer is spoken: one to three short sentences."


class _Plain(Agent):
    """livekit's own agent, which records timestamps of its turns."""

    def __init__(self, stamps: Stamps) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self._stamps = stamps

    async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        self._stamps.turn_started()

    async def llm_node(
        self, chat_ctx: llm.ChatContext, tools: list[llm.Tool], model_settings: ModelSettings
    ) -> AsyncIterator[llm.ChatChunk | str | FlushSentinel]:
        self._stamps.requested()
        async with aclosing(Agent.default.llm_node(self, chat_ctx, tools, model_settings)) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, llm.ChatChunk) and chunk.delta is not None and chunk.delta.content:
                    self._stamps.first_token()
                yield chunk


@asynccontextmanager
async def plain_session(
    room: rtc.Room, settings: SpeechSettings, model: str, model_url: str, stamps: Stamps, preemptive: bool
) -> AsyncIterator[None]:
    """Answer in `room` until the block ends. `preemptive`, livekit's default, sends requests before the pause ends."""
    async with aiohttp.ClientSession() as http:
        session: AgentSession[Any] = AgentSession(
            stt=stt_plugins(settings, http)[0],
            llm=openai.LLM(model=model, base_url=model_url, api_key="key"),
            tts=tts_plugins(settings, http)[0],
            vad=inference.VAD(model="silero", min_silence_duration=settings.pause_s),
            # The defaults would call a cloud service.
            turn_handling=TurnHandlingOptions(
                turn_detection="vad",
                endpointing={"min_delay": settings.pause_s},
                interruption={"mode": "vad"},
                preemptive_generation={"enabled": preemptive},
            ),
        )
        await session.start(_Plain(stamps), room=room, session_host=False, record=False)
        try:
            yield
        finally:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await session.aclose()
