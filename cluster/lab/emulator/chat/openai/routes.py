"""The routes of OpenAI's protocols under /openai/v1."""

from __future__ import annotations

from aiohttp import web

from cluster.lab.emulator.chat.openai.chat import OpenAIChat
from cluster.lab.emulator.chat.openai.embeddings import OpenAIEmbeddings
from cluster.lab.emulator.chat.openai.errors import PREFIX
from cluster.lab.emulator.chat.openai.responses import OpenAIResponses
from cluster.lab.emulator.core.protocol import VendorProtocol, converse
from cluster.lab.emulator.core.request import EmulatorState


def openai_routes(state: EmulatorState) -> list[web.RouteDef]:
    """Return the routes, bound to the shared state."""

    def route(path: str, protocol: VendorProtocol) -> web.RouteDef:
        async def respond(request: web.Request) -> web.StreamResponse:
            return await converse(state, protocol, request)

        return web.post(PREFIX + path, respond)

    return [
        route("/chat/completions", OpenAIChat()),
        route("/responses", OpenAIResponses()),
        route("/embeddings", OpenAIEmbeddings()),
    ]
