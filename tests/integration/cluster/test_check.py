"""`rayroom check` queries every vendor through its own SDK on a real socket, and prints problems but never a key."""

from __future__ import annotations

import asyncio
import io
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from cluster.check.command import CheckedVendor, check_vendors, show
from cluster.cli.main import app
from cluster.config.settings import AppSettings, parse_settings
from cluster.lab.emulator import Emulator, EmulatorState, Fault
from deployments.common.settings import VendorSettings
from room_agent.core.settings import AgentSettings
from routing.catalogue import load_catalogue

ROOT = Path(__file__).parents[3]
KEYS = {
    "OPENAI_API_KEY": "sk-openai-secret-1",
    "ANTHROPIC_API_KEY": "sk-anthropic-secret-2",
    "GEMINI_API_KEY": "gemini-secret-3",
    "VOYAGE_API_KEY": "pa-voyage-secret-4",
    "DEEPGRAM_API_KEY": "deepgram-secret-5",
    "ELEVEN_API_KEY": "eleven-secret-6",
}
VENDORS = ["gemini", "anthropic", "openai", "voyage", "deepgram", "elevenlabs"]
SPEECH_URLS = {"DEEPGRAM_BASE_URL": "deepgram", "ELEVEN_BASE_URL": "elevenlabs"}
VOICE = AgentSettings.model_fields["voice_id"].default


def document(urls: dict[str, str], simulated: bool = False) -> dict[str, Any]:
    """Return the shipped configuration with every vendor live, at the emulator's addresses."""
    shipped: dict[str, Any] = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    for name, row in shipped["applications"][0]["args"]["vendors"].items():
        row |= {"simulated": simulated, "base_url": urls[name]}
    return shipped


def told(urls: Mapping[str, str], environment: Mapping[str, str] = KEYS) -> dict[str, str]:
    """Return an environment in which the room agent asks the same addresses."""
    return {name: urls[vendor] for name, vendor in SPEECH_URLS.items()} | dict(environment)


def settings(emulator: Emulator, simulated: bool = False) -> AppSettings:
    return parse_settings(document(emulator.base_urls(), simulated)["applications"][0]["args"])


async def checked(emulator: Emulator, environment: dict[str, str] = KEYS, **asked: Any) -> dict[str, CheckedVendor]:
    environment = told(emulator.base_urls(), environment)
    found = await check_vendors(settings(emulator, asked.pop("simulated", False)), environment, **asked)
    return {one.vendor: one for one in found}


@pytest.fixture
async def emulator() -> Any:
    async with Emulator().running() as emulator:
        yield emulator


async def test_every_vendor_is_reached_and_knows_what_is_configured(emulator: Emulator) -> None:
    found = await checked(emulator)
    assert list(found) == VENDORS
    assert [(one.missing, one.reachable, one.key_present) for one in found.values()] == [((), True, True)] * 6
    assert found["openai"].models == {"gpt-6-luna": True, "gpt-6.1-sol": True}
    assert found["anthropic"].models == {"claude-sonnet-5-5": True}
    assert found["gemini"].models == {"gemini-3.5-flash-lite": True}
    assert found["voyage"].models == {"voyage-multimodal-3.5": True}
    assert found["deepgram"].models == {"nova-3": True} and found["elevenlabs"].voices == {VOICE: True}
    assert found["elevenlabs"].models == {"eleven_flash_v2_5": True, "eleven_turbo_v2_5": True}
    assert all(one.latency_ms is not None and one.latency_ms > 0 for one in found.values())


async def test_what_is_left_is_told_where_the_vendor_tells_it(emulator: Emulator) -> None:
    found = await checked(emulator)
    assert (found["deepgram"].quota_left, found["deepgram"].quota_unit) == (200.0, "usd")
    assert (found["elevenlabs"].quota_left, found["elevenlabs"].quota_unit) == (1_000_000_000, "characters")
    assert found["openai"].quota_left is None


async def test_a_check_costs_one_word_of_an_embedding_and_nothing_else(emulator: Emulator) -> None:
    await checked(emulator)
    paid = [seen for seen in emulator.journal if seen.prompt_tokens or seen.completion_tokens or seen.characters]
    assert [(seen.vendor, seen.prompt_tokens) for seen in paid] == [("voyage", 1)]
    assert not any(seen.audio_ms for seen in emulator.journal)


async def test_a_missing_key_is_named_with_the_place_where_keys_are_made(emulator: Emulator) -> None:
    live = settings(emulator)
    at_home = {name: row.model_copy(update={"base_url": None}) for name, row in live.vendors.items()}
    found = await check_vendors(live.model_copy(update={"vendors": at_home}), {})
    assert [one.missing[0].split(":")[0].split(".")[0] for one in found] == [
        "export GEMINI_API_KEY",
        "export ANTHROPIC_API_KEY",
        "export OPENAI_API_KEY",
        "export VOYAGE_API_KEY",
        "export DEEPGRAM_API_KEY",
        "export ELEVEN_API_KEY or ELEVENLABS_API_KEY",
    ]
    assert all("https://" in one.missing[0] and not one.key_present and one.reachable is None for one in found)
    assert len(emulator.journal) == 0


@pytest.mark.parametrize("name", ["ELEVEN_API_KEY", "ELEVENLABS_API_KEY"])
async def test_either_name_of_elevenlabs_key_will_do(name: str, emulator: Emulator) -> None:
    found = await checked(emulator, {name: "eleven-secret-6"})
    assert found["elevenlabs"].key_present and found["elevenlabs"].missing == ()


async def test_a_simulated_vendor_needs_no_key_until_it_is_to_be_live(emulator: Emulator) -> None:
    as_shipped = await checked(emulator, {}, simulated=True)
    to_be_live = await checked(emulator, {}, simulated=True, live=True)
    with_a_key = await checked(emulator, {"OPENAI_API_KEY": "k"}, simulated=True)
    assert not any(one.missing or one.reachable for one in as_shipped.values())
    assert all(one.missing for one in to_be_live.values())
    assert with_a_key["openai"].reachable and not with_a_key["gemini"].reachable


# Google answers a wrong key with 400 and a reason, the others with 401.
REJECTED = {name: Fault(status=401) for name in VENDORS} | {"gemini": Fault(status=400, code="API_KEY_INVALID")}


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_rejected_key_is_said_and_the_others_are_checked_all_the_same(vendor: str, emulator: Emulator) -> None:
    emulator.plan(REJECTED[vendor], vendor=vendor, times=9)
    found = await checked(emulator)
    (missing,) = found[vendor].missing
    assert "rejects the key" in missing and found[vendor].reachable is True
    assert [one.vendor for one in found.values() if one.missing] == [vendor]


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_vendor_that_is_slow_holds_up_no_other_and_is_given_up(vendor: str, emulator: Emulator) -> None:
    await checked(emulator)
    emulator.plan(Fault(delay_s=30), vendor=vendor, times=9)
    started_s = time.monotonic()
    found = await checked(emulator, timeout_s=3)
    assert time.monotonic() - started_s < 12
    assert [one.vendor for one in found.values() if one.missing] == [vendor]
    assert "no answer within 3 s" in found[vendor].missing[0] and found[vendor].reachable is False


async def test_a_vendor_that_fails_is_told_by_its_status_and_not_asked_twice(emulator: Emulator) -> None:
    emulator.plan(Fault(status=503, message="the prompt was: hello"), vendor="openai", times=9)
    emulator.plan(Fault(status=502, html=True), vendor="elevenlabs", times=9)
    found = await checked(emulator)
    assert "(HTTP 503)" in found["openai"].missing[0] and "(HTTP 502)" in found["elevenlabs"].missing[0]
    assert "hello" not in str(found) and "html" not in str(found).lower()
    assert sum(seen.vendor == "openai" for seen in emulator.journal) == 1


async def test_vendors_that_are_not_there_are_unreachable(emulator: Emulator) -> None:
    away = dict.fromkeys(VENDORS, "http://127.0.0.1:9")
    found = await check_vendors(parse_settings(document(away)["applications"][0]["args"]), told(away))
    assert all(one.reachable is False and one.latency_ms is None and len(one.missing) == 1 for one in found)


async def test_a_model_or_voice_the_account_lacks_is_named() -> None:
    known = frozenset({"gpt-6-luna", "voyage-3.5"})
    async with Emulator(EmulatorState(models=known)).running() as emulator:
        environment = KEYS | {"RAYROOM_VOICE_ID": "nobody", "RAYROOM_TTS_MODELS": "eleven_flash_v2_5"}
        found = await checked(emulator, environment)
    assert found["openai"].models == {"gpt-6-luna": True, "gpt-6.1-sol": False}
    assert found["anthropic"].models == {"claude-sonnet-5-5": False}
    assert found["gemini"].models == {"gemini-3.5-flash-lite": False}
    assert found["voyage"].models == {"voyage-multimodal-3.5": False}
    assert found["elevenlabs"].voices == {"nobody": False} and len(found["elevenlabs"].models) == 1
    lines = [line for one in found.values() for line in one.missing]
    assert any("no model gpt-6.1-sol" in line for line in lines) and any("no voice nobody" in line for line in lines)


@pytest.mark.parametrize("api", ["openai", "anthropic", "gemini"])
async def test_a_server_of_ones_own_without_a_key_is_asked_for_its_list(api: str, emulator: Emulator) -> None:
    row = VendorSettings.model_validate({"api": api, "base_url": emulator.base_urls()[api]})
    (found,) = await check_vendors(settings(emulator).model_copy(update={"vendors": {"spare": row}}), {})
    assert (found.missing, found.reachable, found.key_env, found.models) == ((), True, None, {})
    (seen,) = emulator.journal
    assert (seen.path.rsplit("/")[-1], seen.status) == ("models", 200)


@pytest.mark.parametrize("api", ["openai", "anthropic", "gemini"])
async def test_the_emulator_lists_its_vendors_models_and_no_others(api: str, emulator: Emulator) -> None:
    path = {"openai": "", "anthropic": "/v1", "gemini": "/v1beta"}[api]
    async with httpx.AsyncClient(headers={"authorization": "Bearer k", "x-goog-api-key": "k"}) as http:
        body = (await http.get(f"{emulator.base_urls()[api]}{path}/models")).json()
    names = {str(row.get("id") or row["name"].removeprefix("models/")) for row in body.get("data") or body["models"]}
    assert names == {model.vendor_name for model in load_catalogue().models.values() if model.vendor == api}


async def run(file: Path, *options: str, **environment: str) -> Any:
    clean = dict.fromkeys((*KEYS, *SPEECH_URLS, "ELEVENLABS_API_KEY", "ELEVENLABS_BASE_URL"))
    return await asyncio.to_thread(CliRunner().invoke, app, ["check", str(file), *options], env=clean | environment)


async def test_the_command_shows_every_vendor_and_never_a_key(emulator: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(document(emulator.base_urls()), sort_keys=False))
    emulator.plan(Fault(status=401, message="Incorrect key: sk-openai-secret-1"), vendor="openai", times=9)
    table = await run(file, **told(emulator.base_urls()))
    emulator.plan(Fault(status=401, message="Incorrect key: sk-openai-secret-1"), vendor="openai", times=9)
    as_json = await run(file, "--json", **told(emulator.base_urls()))
    assert table.exit_code == as_json.exit_code == 1, table.output
    rows = json.loads(as_json.stdout)
    assert [row["vendor"] for row in rows] == VENDORS == [one for one in VENDORS if one in table.output]
    assert "openai: the vendor rejects the key of OPENAI_API_KEY: make another." in table.output
    assert not re.search("|".join(map(re.escape, KEYS.values())), table.output + as_json.output)


async def test_the_commands_exit_status_is_whether_all_that_is_needed_is_there(
    emulator: Emulator, tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(document(emulator.base_urls()), sort_keys=False))
    shipped = ROOT / "serve_config.yaml"
    codes = [
        (await run(file, **told(emulator.base_urls()))).exit_code,
        (await run(file, **told(emulator.base_urls(), {}))).exit_code,
        (await run(shipped)).exit_code,
    ]
    assert codes == [0, 1, 0] and (await run(shipped, "--live")).exit_code == 1


def test_a_red_line_tells_the_models_the_account_lacks() -> None:
    one = CheckedVendor(
        vendor="openai",
        simulated=False,
        key_env="OPENAI_API_KEY",
        key_present=True,
        reachable=True,
        latency_ms=12.3,
        models={"gpt-6-luna": True, "gpt-9": False},
        missing=("[bold]no[/bold]",),
    )
    out = io.StringIO()
    show([one], Console(width=160, file=out), as_json=False)
    text = out.getvalue()
    assert "gpt-6-luna, gpt-9 (unknown)" in text and "12 ms" in text and "openai: [bold]no[/bold]" in text
