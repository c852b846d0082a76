"""`rayroom check` at the speech vendors, with keys of few permissions, and with the room agent's environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web

from cluster.check.command import CheckedVendor, check_vendors
from cluster.config.settings import parse_settings
from cluster.lab.emulator import Emulator, EmulatorState, Fault
from cluster.lab.emulator.speech.elevenlabs import LEGACY_VOICES, elevenlabs_routes
from tests.integration.cluster.test_check import KEYS, VENDORS, VOICE, document, told
from tests.support.speech_clients import serving


async def one(vendor: str, urls: Mapping[str, str], row: Mapping[str, Any], **environment: str) -> CheckedVendor:
    """Check one vendor, with changes to its row of the configuration and to the agent's environment."""
    args = document(dict(urls))["applications"][0]["args"]
    args["vendors"] = {vendor: args["vendors"][vendor] | row}
    (found,) = await check_vendors(parse_settings(args), told(urls) | environment)
    return found


@pytest.fixture
async def emulator() -> Any:
    async with Emulator().running() as emulator:
        yield emulator


async def test_a_spent_quota_is_missing() -> None:
    async with serving(elevenlabs_routes(EmulatorState(), characters=0)) as root:
        found = await one("elevenlabs", dict.fromkeys(VENDORS, root + "/elevenlabs"), {})
    assert found.quota_left == 0 and found.missing == ("no characters are left: add to the account.",)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_for_speech_alone_is_good_and_what_it_may_not_ask_is_said(status: int, emulator: Emulator) -> None:
    emulator.plan(Fault(status=status, code="missing_permissions"), vendor="elevenlabs", times=9)
    found = await one("elevenlabs", emulator.base_urls(), {})
    assert found.missing == () and found.reachable is True and found.quota_left is None
    assert found.voices == {VOICE: None} and set(found.models.values()) == {None}
    assert [line.split(":")[0] for line in found.untold] == [
        "the key may not read models",
        "the key may not read voices",
    ]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/voices/{voice}", "/v1/user/subscription"])
async def test_a_bad_key_is_one_at_each_of_the_three_questions(path: str) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"detail": {"status": "invalid_api_key", "message": "no"}}, status=401)

    others = [route for route in elevenlabs_routes(EmulatorState()) if route.path != f"/elevenlabs{path}"]
    async with serving([*others, web.get(f"/elevenlabs{path}", refuse)]) as root:
        found = await one("elevenlabs", dict.fromkeys(VENDORS, root + "/elevenlabs"), {})
    assert "rejects the key" in found.missing[0]


async def test_a_legacy_voice_is_one_though_the_vendors_list_leaves_it_out(emulator: Emulator) -> None:
    (voice,) = LEGACY_VOICES
    found = await one("elevenlabs", emulator.base_urls(), {}, RAYROOM_VOICE_ID=voice)
    assert found.voices == {voice: True} and found.missing == ()


@pytest.mark.parametrize("code", ["voice_not_found", "voice_does_not_exist", "invalid_uid"])
async def test_a_voice_the_vendor_does_not_know_is_missing_with_either_status(code: str) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"detail": {"status": code, "message": "no"}}, status=400)

    routes = [route for route in elevenlabs_routes(EmulatorState()) if not route.path.endswith("/v1/voices/{voice}")]
    async with serving([*routes, web.get("/elevenlabs/v1/voices/{voice}", refuse)]) as root:
        found = await one("elevenlabs", dict.fromkeys(VENDORS, root + "/elevenlabs"), {})
    assert found.voices == {VOICE: False} and f"the account has no voice {VOICE}" in found.missing[0]


@pytest.mark.parametrize("voice", ["../models", "a/b", "?x", ".."])
async def test_a_voice_that_is_a_path_is_asked_for_as_a_voice(voice: str, emulator: Emulator) -> None:
    found = await one("elevenlabs", emulator.base_urls(), {}, RAYROOM_VOICE_ID=voice)
    assert found.voices.get(voice) is not True and found.missing


@pytest.mark.parametrize("model", ["nova-3", "nova-3-general"])
async def test_deepgrams_general_model_goes_by_its_architecture_too(model: str, emulator: Emulator) -> None:
    own = {"name": "spare", "wire_name": model, "vendor": "deepgram", "services": ["stt"], "tier": "simple"}
    args = document(emulator.base_urls())["applications"][0]["args"]
    args["models"] = [own | {"price": {"audio_ms_pico": 1, "effective_from": "2026-01-01"}}]
    environment = told(emulator.base_urls()) | {"RAYROOM_STT_MODELS": "spare"}
    found = {one.vendor: one for one in await check_vendors(parse_settings(args), environment)}
    assert found["deepgram"].models == {"spare": True}


SPOKEN = {"deepgram": "DEEPGRAM", "elevenlabs": "ELEVEN"}


@pytest.mark.parametrize("vendor", SPOKEN)
async def test_a_key_that_the_agent_does_not_read_is_none(vendor: str, emulator: Emulator) -> None:
    name = f"{SPOKEN[vendor]}_API_KEY"
    without = {name: "", "OUR_OWN_KEY": KEYS[name]}
    found = await one(vendor, emulator.base_urls(), {"api_key_env": "OUR_OWN_KEY"}, **without)
    assert found.key_present is False and name in (found.key_env or "")
    assert found.missing[0].startswith(f"vendors.{vendor}.api_key_env is OUR_OWN_KEY, and the room agent reads {name}")
    assert found.missing[1].startswith(f"export {name}") and len(emulator.journal) == 0


@pytest.mark.parametrize("vendor", SPOKEN)
async def test_an_address_that_the_agent_does_not_read_is_asked_of_nobody(vendor: str, emulator: Emulator) -> None:
    variable, nobody = f"{SPOKEN[vendor]}_BASE_URL", "http://127.0.0.1:9"
    found = await one(vendor, emulator.base_urls(), {}, **{variable: nobody})
    assert found.missing[0].startswith(
        f"vendors.{vendor}.base_url is not the address that the room agent uses: it reads {variable}"
    )
    assert f"Is {variable} right (seen: '{nobody}')?" in found.missing[1] and len(emulator.journal) == 0
