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
from cluster.check.plan import plan_checks
from cluster.check.production_requests import send_requests
from cluster.cli.main import app
from cluster.config.settings import AppSettings, parse_settings
from cluster.lab.emulator import Emulator, EmulatorState, Fault
from cluster.lab.emulator.core.model_rules import load_model_rules
from deployments.common.settings import VendorSettings
from room_agent.core.settings import AgentSettings

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


def live_config(urls: dict[str, str], simulated: bool = False) -> dict[str, Any]:
    """Return the shipped configuration with every vendor live, at the emulator's addresses."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    for name, row in config["applications"][0]["args"]["vendors"].items():
        row |= {"simulated": simulated, "base_url": urls[name]}
    return config


def agent_environment(urls: Mapping[str, str], environment: Mapping[str, str] = KEYS) -> dict[str, str]:
    """Return an environment in which the room agent uses the same addresses."""
    return {name: urls[vendor] for name, vendor in SPEECH_URLS.items()} | dict(environment)


def live_settings(emulator: Emulator, simulated: bool = False) -> AppSettings:
    return parse_settings(live_config(emulator.base_urls(), simulated)["applications"][0]["args"])


async def check_emulator(
    emulator: Emulator, environment: dict[str, str] = KEYS, **options: Any
) -> dict[str, CheckedVendor]:
    environment = agent_environment(emulator.base_urls(), environment)
    results = await check_vendors(live_settings(emulator, options.pop("simulated", False)), environment, **options)
    return {result.vendor: result for result in results}


@pytest.fixture
async def emulator() -> Any:
    async with Emulator().running() as emulator:
        yield emulator


async def test_every_vendor_is_reached_and_has_the_configured_models(emulator: Emulator) -> None:
    results = await check_emulator(emulator)
    assert list(results) == VENDORS
    assert [(result.missing, result.reachable, result.key_present) for result in results.values()] == [
        ((), True, True)
    ] * 6
    assert results["openai"].models == dict.fromkeys(("gpt-6-luna", "gpt-6.1-terra"), True)
    assert results["anthropic"].models == dict.fromkeys(("claude-haiku-5-5", "claude-sonnet-5-5"), True)
    assert results["gemini"].models == dict.fromkeys(("gemini-3.5-flash-lite", "gemini-3.8-flash"), True)
    assert results["voyage"].models == {"voyage-multimodal-3.5": True}
    assert results["deepgram"].models == {"nova-3": True} and results["elevenlabs"].voices == {VOICE: True}
    assert results["elevenlabs"].models == {"eleven_flash_v2_5": True, "eleven_turbo_v2_5": True}
    assert all(result.latency_ms is not None and result.latency_ms > 0 for result in results.values())


async def test_the_remaining_quota_is_shown_if_the_vendor_reports_it(emulator: Emulator) -> None:
    results = await check_emulator(emulator)
    assert (results["deepgram"].quota_left, results["deepgram"].quota_unit) == (200.0, "usd")
    assert (results["elevenlabs"].quota_left, results["elevenlabs"].quota_unit) == (1_000_000_000, "characters")
    assert results["openai"].quota_left is None


async def test_each_configured_model_gets_a_request_with_productions_shape_and_its_cost(emulator: Emulator) -> None:
    checked = await check_emulator(emulator)
    requests = [request for vendor in checked.values() for request in vendor.requests]
    settings = live_settings(emulator)
    planned = {("vision", name) for name in (*settings.vision.simple, *settings.vision.complex)}
    planned |= {("llm", name) for name in (*settings.llm.simple, *settings.llm.complex)}
    planned |= {("embeddings", name) for name in settings.embeddings.models}
    assert {(request.service, request.model) for request in requests} == planned
    assert all(request.problem == "" and request.cost_nanousd for request in requests)
    seen = [request for request in emulator.journal if request.completion_tokens]
    assert sum(request.images for request in seen) == len([one for one in planned if one[0] == "vision"])


async def test_a_model_that_refuses_productions_request_is_missing_with_the_vendors_reason(emulator: Emulator) -> None:
    settings = live_settings(emulator)
    model = settings.catalogue().get(settings.llm.simple[0])
    emulator.plan(Fault(status=400, message="The effort is wrong."), vendor=model.vendor, model=model.name, times=9)
    (row,) = [row for row in plan_checks(settings, KEYS, live=True) if row.name == model.vendor]
    refused = [request for request in await send_requests(settings, row, 5.0) if request.problem]
    assert {request.model for request in refused} == {model.name}
    assert all("The effort is wrong." in request.problem for request in refused)


async def test_a_missing_key_is_named_with_the_page_that_creates_keys(emulator: Emulator) -> None:
    settings = live_settings(emulator)
    vendors = {name: row.model_copy(update={"base_url": None}) for name, row in settings.vendors.items()}
    results = await check_vendors(settings.model_copy(update={"vendors": vendors}), {})
    assert [result.missing[0].split(":")[0].split(".")[0] for result in results] == [
        "export GEMINI_API_KEY",
        "export ANTHROPIC_API_KEY",
        "export OPENAI_API_KEY",
        "export VOYAGE_API_KEY",
        "export DEEPGRAM_API_KEY",
        "export ELEVEN_API_KEY or ELEVENLABS_API_KEY",
    ]
    assert all(
        "https://" in result.missing[0] and not result.key_present and result.reachable is None for result in results
    )
    assert len(emulator.journal) == 0


@pytest.mark.parametrize("name", ["ELEVEN_API_KEY", "ELEVENLABS_API_KEY"])
async def test_either_variable_of_the_elevenlabs_key_is_accepted(name: str, emulator: Emulator) -> None:
    results = await check_emulator(emulator, {name: "eleven-secret-6"})
    assert results["elevenlabs"].key_present and results["elevenlabs"].missing == ()


async def test_a_simulated_vendor_needs_a_key_only_with_live(emulator: Emulator) -> None:
    simulated = await check_emulator(emulator, {}, simulated=True)
    live = await check_emulator(emulator, {}, simulated=True, live=True)
    with_key = await check_emulator(emulator, {"OPENAI_API_KEY": "k"}, simulated=True)
    assert not any(result.missing or result.reachable for result in simulated.values())
    assert all(result.missing for result in live.values())
    assert with_key["openai"].reachable and not with_key["gemini"].reachable


# Google rejects a wrong key with 400 and a reason, the others with 401.
REJECTED = {name: Fault(status=401) for name in VENDORS} | {"gemini": Fault(status=400, code="API_KEY_INVALID")}


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_rejected_key_is_reported_and_does_not_stop_the_other_checks(vendor: str, emulator: Emulator) -> None:
    emulator.plan(REJECTED[vendor], vendor=vendor, times=9)
    results = await check_emulator(emulator)
    (missing,) = results[vendor].missing
    assert "rejects the key" in missing and results[vendor].reachable is True
    assert [result.vendor for result in results.values() if result.missing] == [vendor]


@pytest.mark.parametrize("slow", [VENDORS[:3], VENDORS[3:]], ids=" ".join)
async def test_slow_vendors_time_out_without_delaying_the_others(slow: list[str], emulator: Emulator) -> None:
    started_s = time.monotonic()
    await check_emulator(emulator)
    took_s = time.monotonic() - started_s
    for vendor in slow:
        emulator.plan(Fault(delay_s=30), vendor=vendor, times=9)
    started_s = time.monotonic()
    results = await check_emulator(emulator, timeout_s=3)
    # One after the other they would take nine seconds more than vendors that answer.
    assert time.monotonic() - started_s < took_s + 6
    assert [result.vendor for result in results.values() if result.missing] == slow
    for vendor in slow:
        assert "no answer within 3 s" in results[vendor].missing[0] and results[vendor].reachable is False


async def test_a_failing_vendor_is_reported_by_its_status_without_a_retry(emulator: Emulator) -> None:
    emulator.plan(Fault(status=503, message="the prompt was: hello"), vendor="openai", times=9)
    emulator.plan(Fault(status=502, html=True), vendor="elevenlabs", times=9)
    results = await check_emulator(emulator)
    assert "(HTTP 503)" in results["openai"].missing[0] and "(HTTP 502)" in results["elevenlabs"].missing[0]
    assert "hello" not in str(results) and "html" not in str(results).lower()
    assert sum(request.vendor == "openai" for request in emulator.journal) == 1


async def test_vendors_at_a_closed_port_are_unreachable(emulator: Emulator) -> None:
    urls = dict.fromkeys(VENDORS, "http://127.0.0.1:9")
    results = await check_vendors(parse_settings(live_config(urls)["applications"][0]["args"]), agent_environment(urls))
    assert all(
        result.reachable is False and result.latency_ms is None and len(result.missing) == 1 for result in results
    )


async def test_a_model_or_voice_missing_in_the_account_is_named() -> None:
    models = frozenset({"gpt-6-luna", "voyage-3.5"})
    async with Emulator(EmulatorState(models=models)).running() as emulator:
        environment = KEYS | {"RAYROOM_VOICE_ID": "nobody", "RAYROOM_TTS_MODELS": "eleven_flash_v2_5"}
        results = await check_emulator(emulator, environment)
    assert results["openai"].models == {"gpt-6-luna": True, "gpt-6.1-terra": False}
    assert results["anthropic"].models == {"claude-haiku-5-5": False, "claude-sonnet-5-5": False}
    assert results["gemini"].models == {"gemini-3.5-flash-lite": False, "gemini-3.8-flash": False}
    assert results["voyage"].models == {"voyage-multimodal-3.5": False}
    assert results["elevenlabs"].voices == {"nobody": False} and len(results["elevenlabs"].models) == 1
    lines = [line for result in results.values() for line in result.missing]
    assert any("no model gpt-6.1-terra" in line for line in lines) and any("no voice nobody" in line for line in lines)


@pytest.mark.parametrize("api", ["openai", "anthropic", "gemini"])
async def test_a_self_hosted_server_without_models_is_queried_for_its_list(api: str, emulator: Emulator) -> None:
    row = VendorSettings.model_validate({"api": api, "base_url": emulator.base_urls()[api]})
    (result,) = await check_vendors(live_settings(emulator).model_copy(update={"vendors": {"spare": row}}), {})
    assert (result.missing, result.reachable, result.key_env, result.models) == ((), True, None, {})
    (request,) = emulator.journal
    assert (request.path.rsplit("/")[-1], request.status) == ("models", 200)


@pytest.mark.parametrize("api", ["openai", "anthropic", "gemini"])
async def test_the_emulator_lists_only_the_models_of_the_vendor(api: str, emulator: Emulator) -> None:
    path = {"openai": "", "anthropic": "/v1", "gemini": "/v1beta"}[api]
    async with httpx.AsyncClient(headers={"authorization": "Bearer k", "x-goog-api-key": "k"}) as http:
        body = (await http.get(f"{emulator.base_urls()[api]}{path}/models")).json()
    names = {str(row.get("id") or row["name"].removeprefix("models/")) for row in body.get("data") or body["models"]}
    rules = load_model_rules().values()
    assert names and names == {model_rules.name for model_rules in rules if model_rules.vendor == api}


async def run_check(file: Path, *options: str, **environment: str) -> Any:
    unset = dict.fromkeys((*KEYS, *SPEECH_URLS, "ELEVENLABS_API_KEY", "ELEVENLABS_BASE_URL"))
    return await asyncio.to_thread(CliRunner().invoke, app, ["check", str(file), *options], env=unset | environment)


async def test_the_command_shows_every_vendor_and_never_a_key(emulator: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(live_config(emulator.base_urls()), sort_keys=False))
    emulator.plan(Fault(status=401, message="Incorrect key: sk-openai-secret-1"), vendor="openai", times=9)
    table = await run_check(file, **agent_environment(emulator.base_urls()))
    emulator.plan(Fault(status=401, message="Incorrect key: sk-openai-secret-1"), vendor="openai", times=9)
    as_json = await run_check(file, "--json", **agent_environment(emulator.base_urls()))
    assert table.exit_code == as_json.exit_code == 1, table.output
    rows = json.loads(as_json.stdout)
    assert [row["vendor"] for row in rows] == VENDORS == [vendor for vendor in VENDORS if vendor in table.output]
    assert "openai: the vendor rejects the key of OPENAI_API_KEY: make another." in table.output
    assert not re.search("|".join(map(re.escape, KEYS.values())), table.output + as_json.output)


async def test_the_exit_status_is_one_if_something_needed_is_missing(emulator: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(live_config(emulator.base_urls()), sort_keys=False))
    shipped = ROOT / "serve_config.yaml"
    codes = [
        (await run_check(file, **agent_environment(emulator.base_urls()))).exit_code,
        (await run_check(file, **agent_environment(emulator.base_urls(), {}))).exit_code,
        (await run_check(shipped)).exit_code,
    ]
    assert codes == [0, 1, 0] and (await run_check(shipped, "--live")).exit_code == 1


def test_the_table_marks_the_models_that_the_account_lacks() -> None:
    result = CheckedVendor(
        vendor="openai",
        simulated=False,
        key_env="OPENAI_API_KEY",
        key_present=True,
        reachable=True,
        latency_ms=12.3,
        models={"gpt-6-luna": True, "gpt-9": False},
        missing=("[bold]no[/bold]",),
    )
    output = io.StringIO()
    show([result], Console(width=160, file=output), as_json=False)
    text = output.getvalue()
    assert "gpt-6-luna, gpt-9 (unknown)" in text and "12 ms" in text and "openai: [bold]no[/bold]" in text
