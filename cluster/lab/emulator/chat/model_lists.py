"""The model lists of OpenAI, Anthropic and Gemini. They cost nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from cluster.lab.emulator.chat.anthropic import errors as anthropic
from cluster.lab.emulator.chat.anthropic.messages import AnthropicMessages
from cluster.lab.emulator.chat.gemini import errors as gemini
from cluster.lab.emulator.chat.gemini.generate import GeminiContent
from cluster.lab.emulator.chat.openai import errors as openai
from cluster.lab.emulator.chat.openai.chat import OpenAIChat
from cluster.lab.emulator.core.admission import check_admission
from cluster.lab.emulator.core.model_rules import load_model_rules
from cluster.lab.emulator.core.parsing import bearer
from cluster.lab.emulator.core.protocol import VendorProtocol
from cluster.lab.emulator.core.request import EmulatorState, ParsedRequest

Row = dict[str, Any]
# Vendors send the creation time of a model, and no client reads it.
CREATED_AT = "2025-11-24T16:00:00Z"


def model_routes(state: EmulatorState) -> list[web.RouteDef]:
    """Return the routes: every model of a vendor, and one by its name."""
    apis = (
        (openai.PREFIX, _ModelListApi(state, openai.NAME, OpenAIChat(), _openai, _openai_list)),
        (
            anthropic.PREFIX,
            _ModelListApi(state, anthropic.NAME, AnthropicMessages(state.clock), _anthropic, _anthropic_list),
        ),
        (gemini.PREFIX, _ModelListApi(state, gemini.NAME, GeminiContent(), _gemini, _gemini_list)),
    )
    return [
        route
        for prefix, api in apis
        for route in (web.get(f"{prefix}/models", api.every), web.get(f"{prefix}/models/{{model}}", api.one))
    ]


class _ModelListApi:
    """One vendor's models: those of the emulator's rules, without the ones that the state does not have."""

    def __init__(
        self,
        state: EmulatorState,
        vendor: str,
        protocol: VendorProtocol,
        row: Callable[[str], Row],
        listed: Callable[[list[Row]], Row],
    ) -> None:
        self._state, self._vendor, self._protocol = state, vendor, protocol
        self._row, self._listed = row, listed

    async def every(self, request: web.Request) -> web.StreamResponse:
        return await self._respond(request, "", self._listed([self._row(name) for name in self._names()]))

    async def one(self, request: web.Request) -> web.StreamResponse:
        model = request.match_info["model"]
        return await self._respond(request, model, self._row(model))

    async def _respond(self, request: web.Request, model: str, body: Row) -> web.StreamResponse:
        parsed = ParsedRequest(vendor=self._vendor, model=model, key=_key(request), max_tokens=0)
        async with self._state.exchange(request.path, parsed) as exchange:
            rejection = await check_admission(exchange, self._protocol.refusal_response)
            if rejection is None:
                exchange.answered(200)
            return rejection or web.json_response(body, headers=self._protocol.headers(exchange.limit_status()))

    def _names(self) -> list[str]:
        names = self._state.models
        rows = load_model_rules().values()
        return sorted(row.name for row in rows if row.vendor == self._vendor and (names is None or row.name in names))


def _key(request: web.Request) -> str | None:
    """Return the API key from any of the three places for it."""
    headers = request.headers
    named = headers.get("x-api-key") or headers.get("x-goog-api-key") or request.query.get("key")
    return bearer(headers) or named or None


def _openai(name: str) -> Row:
    return {"id": name, "object": "model", "created": openai.CREATED_S, "owned_by": "emulated"}


def _openai_list(rows: list[Row]) -> Row:
    return {"object": "list", "data": rows}


def _anthropic(name: str) -> Row:
    return {"type": "model", "id": name, "display_name": name, "created_at": CREATED_AT}


def _anthropic_list(rows: list[Row]) -> Row:
    ids = [row["id"] for row in rows] or [None]
    return {"data": rows, "has_more": False, "first_id": ids[0], "last_id": ids[-1]}


def _gemini(name: str) -> Row:
    methods = ["generateContent", "countTokens"]
    return {"name": f"models/{name}", "displayName": name, "version": "emulated", "supportedGenerationMethods": methods}


def _gemini_list(rows: list[Row]) -> Row:
    return {"models": rows}
