"""`rayroom check` with the speech vendors, with limited keys and the room agent's environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web

from cluster.check.command import CheckedVendor, check_vendors
from cluster.config.settings import parse_settings
from cluster.lab.emulator import Emulator, EmulatorState, Fault
from cluster.lab.emulator.speech.elevenlabs import LEGACY_VOICES, elevenlabs_routes
from tests.integration.cluster.test_check import KEYS, VENDORS, VOICE, agent_environment, live_config
from tests.support.speech_clients import serving


async def check_one(vendor: str, urls: Mapping[str, str], row: Mapping[str, Any], **environment: str) -> CheckedVendor:
    """Check one vendor, with changes to its row of the configuration and to the agent's environment."""
    args = live_config(dict(urls))["applications"][0]["args"]
    args["vendors"] = {vendor: args["vendors"][vendor] | row}
    (result,) = await check_vendors(parse_settings(args), agent_environment(urls) | environment)
    return result


@pytest.fixture
async def emulator() -> Any:
    async with Emulator().running() as emulator:
        yield emulator


async def test_a_spent_quota_is_a_problem() -> None:
    async with serving(elevenlabs_routes(EmulatorState(), characters=0)) as root:
        result = await check_one("elevenlabs", dict.fromkeys(VENDORS, root + "/elevenlabs"), {})
    assert result.quota_left == 0 and result.missing == ("no characters are left: add to the account.",)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_limited_to_speech_is_accepted_and_its_limits_are_reported(status: int, emulator: Emulator) -> None:
    emulator.plan(Fault(status=status, code="missing_permissions"), vendor="elevenlabs", times=9)
    result = await check_one("elevenlabs", emulator.base_urls(), {})
    assert result.missing == () and result.reachable is True and result.quota_left is None
    assert result.voices == {VOICE: None} and set(result.models.values()) == {None}
    assert [line.split(":")[0] for line in result.unverified] == [
        "the key may not read models",
        "the key may not read voices",
    ]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/voices/{voice}", "/v1/user/subscription"])
async def test_a_rejected_key_is_reported_by_each_of_the_three_requests(path: str) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"detail": {"status": "invalid_api_key", "message": "no"}}, status=401)

    others = [route for route in elevenlabs_routes(EmulatorState()) if route.path != f"/elevenlabs{path}"]
    async with serving([*others, web.get(f"/elevenlabs{path}", refuse)]) as root:
        result = await check_one("elevenlabs", dict.fromkeys(VENDORS, root + "/elevenlabs"), {})
    assert "rejects the key" in result.missing[0]


async def test_a_legacy_voice_is_available_although_the_list_omits_it(emulator: Emulator) -> None:
    (voice,) = LEGACY_VOICES
    result = await check_one("elevenlabs", emulator.base_urls(), {}, RAYROOM_VOICE_ID=voice)
    assert result.voices == {voice: True} and result.missing == ()


@pytest.mark.parametrize("code", ["voice_not_found", "voice_does_not_exist", "invalid_uid"])
async def test_an_unknown_voice_is_missing_for_each_error_code(code: str) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"detail": {"status": code, "message": "no"}}, status=400)

    routes = [route for route in elevenlabs_routes(EmulatorState()) if not route.path.endswith("/v1/voices/{voice}")]
    async with serving([*routes, web.get("/elevenlabs/v1/voices/{voice}", refuse)]) as root:
        result = await check_one("elevenlabs", dict.fromkeys(VENDORS, root + "/elevenlabs"), {})
    assert result.voices == {VOICE: False} and f"the account has no voice {VOICE}" in result.missing[0]


@pytest.mark.parametrize("voice", ["../models", "a/b", "?x", ".."])
async def test_a_voice_that_looks_like_a_path_is_escaped(voice: str, emulator: Emulator) -> None:
    result = await check_one("elevenlabs", emulator.base_urls(), {}, RAYROOM_VOICE_ID=voice)
    assert result.voices.get(voice) is not True and result.missing


@pytest.mark.parametrize("model", ["nova-3", "nova-3-general"])
async def test_a_general_deepgram_model_is_also_found_by_its_architecture(model: str, emulator: Emulator) -> None:
    model_row = {"name": "spare", "wire_name": model, "vendor": "deepgram", "services": ["stt"], "tier": "simple"}
    args = live_config(emulator.base_urls())["applications"][0]["args"]
    args["models"] = [model_row | {"price": {"audio_ms_pico": 1, "effective_from": "2026-01-01"}}]
    environment = agent_environment(emulator.base_urls()) | {"RAYROOM_STT_MODELS": "spare"}
    results = {result.vendor: result for result in await check_vendors(parse_settings(args), environment)}
    assert results["deepgram"].models == {"spare": True}


PREFIXES = {"deepgram": "DEEPGRAM", "elevenlabs": "ELEVEN"}


@pytest.mark.parametrize("vendor", PREFIXES)
async def test_a_key_variable_that_the_agent_does_not_read_is_a_problem(vendor: str, emulator: Emulator) -> None:
    name = f"{PREFIXES[vendor]}_API_KEY"
    environment = {name: "", "OUR_OWN_KEY": KEYS[name]}
    result = await check_one(vendor, emulator.base_urls(), {"api_key_env": "OUR_OWN_KEY"}, **environment)
    assert result.key_present is False and name in (result.key_env or "")
    assert result.missing[0].startswith(f"vendors.{vendor}.api_key_env is OUR_OWN_KEY, and the room agent reads {name}")
    assert result.missing[1].startswith(f"export {name}") and len(emulator.journal) == 0


@pytest.mark.parametrize("vendor", PREFIXES)
async def test_an_address_that_the_agent_does_not_read_is_a_problem(vendor: str, emulator: Emulator) -> None:
    variable, address = f"{PREFIXES[vendor]}_BASE_URL", "http://127.0.0.1:9"
    result = await check_one(vendor, emulator.base_urls(), {}, **{variable: address})
    assert result.missing[0].startswith(
        f"vendors.{vendor}.base_url is not the address that the room agent uses: it reads {variable}"
    )
    assert f"Is {variable} right (seen: '{address}')?" in result.missing[1] and len(emulator.journal) == 0
