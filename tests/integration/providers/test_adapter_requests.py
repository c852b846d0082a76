"""The requests of the adapters, recorded by a server on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from deployments.common.settings import SimulationSettings, VendorSettings
from deployments.providers.registry import connect
from routing.catalogue import Model
from routing.chat import ChatOptions, Image, Message
from routing.errors import ProviderError
from routing.models import ModelRequest, Tier


@dataclass
class Keeper:
    """A server that answers 400 and keeps the requests."""

    url: str = ""
    paths: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def keep(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        self.bodies.append(await request.json())
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        return web.json_response({"error": {"message": "kept", "type": "invalid_request_error"}}, status=400)

    async def sent(self, row: dict[str, Any], model: str, **ask: Any) -> dict[str, Any]:
        """Return the body of one ask, made through a vendor's row of the configuration."""
        provider = connect("it", VendorSettings(**row | {"base_url": self.url}), SimulationSettings())
        said = (
            Message(role="system", content=("Be short.",)),
            Message(
                role="user",
                content=("Hello?", Image(data=b"jpeg")),
            ),
        )
        with pytest.raises(ProviderError):
            await provider.answer(named(model), ModelRequest(model=model, messages=said, **ask))
        await provider.aclose()
        return self.bodies[-1]


def named(model: str) -> Model:
    return Model(name=model, vendor="it", services=("llm",), tier=Tier.SIMPLE, source="a test")


@pytest.fixture
async def keeper() -> AsyncIterator[Keeper]:
    keeper = Keeper()
    app = web.Application()
    app.router.add_route("POST", "/{path:.*}", keeper.keep)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    keeper.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield keeper
    await runner.cleanup()


async def test_a_server_of_ones_own_needs_no_key_and_may_name_the_limit_its_way(keeper: Keeper) -> None:
    row = {"api": "openai-compatible", "output_limit_field": "max_tokens"}
    body = await keeper.sent(row, "qwen3-vl", max_output_tokens=77, options=ChatOptions(temperature=0.5))
    assert body["max_tokens"] == 77 and "max_completion_tokens" not in body and "reasoning_effort" not in body
    assert (body["model"], body["temperature"]) == ("qwen3-vl", 0.5)
    assert keeper.paths == ["/chat/completions"]


async def test_openai_gets_the_effort_of_the_request_and_room_for_its_thoughts(keeper: Keeper) -> None:
    body = await keeper.sent({"api": "openai"}, "m", max_output_tokens=300, effort="low", thinking_tokens=1_000)
    assert (body["reasoning_effort"], body["max_completion_tokens"]) == ("low", 1_300)
    plain = await keeper.sent({"api": "openai"}, "m", max_output_tokens=9_000)
    assert "reasoning_effort" not in plain and plain["max_completion_tokens"] == named("m").max_output_tokens


async def test_gemini_is_called_at_its_configured_version(keeper: Keeper) -> None:
    body = await keeper.sent({"api": "gemini", "api_version": "v1beta"}, "m", max_output_tokens=150)
    assert keeper.paths == ["/v1beta/models/m:streamGenerateContent"] and body["generationConfig"] == {
        "maxOutputTokens": 150
    }
    assert body["systemInstruction"]["parts"] == [{"text": "Be short."}]


async def test_anthropic_gets_no_temperature_and_its_system_text_apart(keeper: Keeper) -> None:
    body = await keeper.sent(
        {"api": "anthropic"}, "claude-sonnet-5-5", max_output_tokens=300, options=ChatOptions(temperature=0.5)
    )
    assert body["system"] == "Be short." and [message["role"] for message in body["messages"]] == ["user"]
    assert "temperature" not in body and body["max_tokens"] == 300
    assert [part["type"] for part in body["messages"][0]["content"]] == ["text", "image"]


@pytest.mark.parametrize(
    ("api", "header"), [("openai", "authorization"), ("anthropic", "authorization"), ("gemini", "x-goog-api-key")]
)
async def test_the_key_of_the_row_is_sent_and_no_other(
    api: str, header: str, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, "another")
    monkeypatch.setenv("THE_KEY", "the-key")
    await keeper.sent({"api": api, "api_key_env": "THE_KEY"}, "m")
    (headers,) = keeper.headers
    assert headers[header].endswith("the-key") and "another" not in str(headers)
