"""The route of Anthropic's Messages API under /anthropic/v1."""

from __future__ import annotations

from aiohttp import web

from cluster.lab.emulator.chat.anthropic.errors import PREFIX
from cluster.lab.emulator.chat.anthropic.messages import AnthropicMessages
from cluster.lab.emulator.core.protocol import converse
from cluster.lab.emulator.core.request import EmulatorState


def anthropic_routes(state: EmulatorState) -> list[web.RouteDef]:
    """Return the routes, bound to the shared state."""
    protocol = AnthropicMessages(state.clock)

    async def messages(request: web.Request) -> web.StreamResponse:
        return await converse(state, protocol, request)

    return [web.post(f"{PREFIX}/messages", messages)]
