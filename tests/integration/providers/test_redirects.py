"""A vendor that sends its caller elsewhere is not followed there, for the key would go along."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from deployments.common.settings import SimulationSettings, VendorSettings
from deployments.providers.registry import connect
from room_agent.usage.meter import SpeechMeter, metered_stt_session, metered_tts_session
from routing.chat import Message
from routing.errors import ProviderError, ProviderRefused
from routing.models import EmbedRequest
from tests.integration.providers.connected_adapters import CATALOGUE, EACH_METHOD, VENDORS, model_of, model_request
from tests.support.speech_clients import serving


@dataclass
class Moved:
    """A vendor's address, and the requests that came to where it sends its callers."""

    url: str = ""
    elsewhere: list[str] = field(default_factory=list)


@pytest.fixture
async def moved(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Moved]:
    moved = Moved()

    async def take(request: web.Request) -> web.Response:
        moved.elsewhere.append(request.path)
        return web.json_response({})

    async with serving([web.route("*", "/{path:.*}", take)]) as there:

        async def send(request: web.Request) -> web.Response:
            return web.Response(status=307, headers={"location": there.replace("127.0.0.1", "localhost")})

        async with serving([web.route("*", "/{path:.*}", send)]) as here:
            monkeypatch.setenv("VENDOR_KEY", "k")
            moved.url = here
            yield moved


@EACH_METHOD
@pytest.mark.parametrize("vendor", VENDORS)
async def test_no_adapter_takes_its_key_to_another_host(vendor: str, method: str, moved: Moved) -> None:
    row = {"api": vendor, "api_key_env": "VENDOR_KEY", "base_url": moved.url}
    provider = connect(vendor, VendorSettings.model_validate(row), SimulationSettings())
    with pytest.raises(ProviderError) as failed:
        if method == "answer":
            await provider.answer(model_of(vendor), model_request(vendor))
        else:
            _ = [delta async for delta in provider.stream(model_of(vendor), model_request(vendor))]
    await provider.aclose()
    assert isinstance(failed.value, ProviderRefused) and "redirects: set base_url" in failed.value.message
    assert failed.value.facts["vendor_status"] == 307 and moved.elsewhere == []


async def test_nor_does_the_adapter_for_embeddings(moved: Moved) -> None:
    row = {"api": "voyage", "api_key_env": "VENDOR_KEY", "base_url": moved.url}
    provider = connect("voyage", VendorSettings.model_validate(row), SimulationSettings())
    inputs = (Message(role="user", content=("ping",)),)
    with pytest.raises(ProviderRefused, match="redirects"):
        await provider.embed(CATALOGUE.get("voyage-multimodal-3.5"), EmbedRequest(model="v", inputs=inputs))
    await provider.aclose()
    assert moved.elsewhere == []


@pytest.mark.parametrize("session", [metered_stt_session, metered_tts_session])
async def test_nor_do_the_sessions_of_speech(
    session: Callable[[SpeechMeter], aiohttp.ClientSession], moved: Moved
) -> None:
    async with session(SpeechMeter(lambda: 0.0)) as http:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(moved.url, headers={"xi-api-key": "k"})
    assert moved.elsewhere == []
