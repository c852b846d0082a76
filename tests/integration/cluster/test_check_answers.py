"""`rayroom check` with malformed answers, wrong addresses and incomplete configurations."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from cluster.check.command import CheckedVendor, check_vendors
from cluster.check.model_probes import make_probe
from cluster.check.types import Probe, VendorAccount
from cluster.cli.main import main
from cluster.config.settings import parse_settings
from cluster.lab.emulator import Emulator, Fault
from deployments.common.settings import VendorSettings
from tests.integration.cluster.test_check import (
    KEYS,
    SPEECH_URLS,
    VENDORS,
    agent_environment,
    live_config,
    live_settings,
    run_check,
)
from tests.support.speech_clients import serving

MODEL_APIS = ["openai", "anthropic", "gemini"]


async def check_against(answer: web.Response, environment: Mapping[str, str] = KEYS) -> dict[str, CheckedVendor]:
    """Check every vendor against a server that gives each request the same answer."""

    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    async with serving([web.route("*", "/{path:.*}", handle)]) as root:
        urls = dict.fromkeys(VENDORS, root)
        settings = parse_settings(live_config(urls)["applications"][0]["args"])
        return {result.vendor: result for result in await check_vendors(settings, agent_environment(urls, environment))}


ADDRESS_SETTINGS = {name: f"vendors.{name}.base_url" for name in VENDORS} | {
    url: name for name, url in SPEECH_URLS.items()
}
INVALID_ANSWERS = {
    "a page": web.Response(text="<html>the hotel's network</html>", content_type="text/html"),
    "an empty object": web.json_response({}),
    "an empty list": web.json_response([]),
    "null": web.json_response(None),
    "a name of nothing": web.json_response({"id": "", "name": ""}),
    "no content": web.Response(status=204),
}


@pytest.mark.parametrize("name", INVALID_ANSWERS)
async def test_an_answer_without_a_model_is_a_problem(name: str) -> None:
    results = await check_against(INVALID_ANSWERS[name])
    assert all(result.missing for result in results.values())
    assert all("cannot be read" in results[vendor].missing[0] and results[vendor].reachable for vendor in MODEL_APIS)


@pytest.mark.parametrize("name", INVALID_ANSWERS)
@pytest.mark.parametrize("api", MODEL_APIS)
async def test_a_list_without_models_is_a_problem(api: str, name: str) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=INVALID_ANSWERS[name].status, body=INVALID_ANSWERS[name].body)

    async with serving([web.route("*", "/{path:.*}", handle)]) as root:
        row = VendorSettings.model_validate({"api": api, "base_url": root})
        settings = parse_settings(live_config(dict.fromkeys(VENDORS, root))["applications"][0]["args"])
        (result,) = await check_vendors(settings.model_copy(update={"vendors": {"spare": row}}), {})
    assert "cannot be read" in result.missing[0]


@pytest.mark.parametrize(("status", "message"), [(404, "no such path (HTTP 404)"), (307, "redirects (HTTP 307): set ")])
async def test_the_problem_of_a_wrong_address_names_its_setting(status: int, message: str) -> None:
    results = await check_against(
        web.Response(status=status, text="<html>", headers={"location": "http://localhost:9/"})
    )
    assert all(
        message in result.missing[0] and ADDRESS_SETTINGS[result.vendor] in result.missing[0]
        for result in results.values()
    )


async def test_the_problem_of_a_closed_port_names_its_setting() -> None:
    urls = dict.fromkeys(VENDORS, "http://127.0.0.1:9/v1")
    for result in await check_vendors(
        parse_settings(live_config(urls)["applications"][0]["args"]), agent_environment(urls)
    ):
        assert f"Is {ADDRESS_SETTINGS[result.vendor]} right (seen: 'http://127.0.0.1:9/v1')?" in result.missing[0]


async def test_a_server_with_only_a_list_is_checked_by_its_list() -> None:
    async def list_models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "gpt-6-luna", "object": "model"}]})

    async with serving([web.get("/models", list_models)]) as root:
        settings = parse_settings(live_config(dict.fromkeys(VENDORS, root))["applications"][0]["args"])
        openai_only = settings.model_copy(update={"vendors": {"openai": settings.vendors["openai"]}})
        (result,) = await check_vendors(openai_only, KEYS)
    assert result.models == {"gpt-6-luna": True, "gpt-6.1-terra": False}


async def test_a_rejection_without_a_key_names_the_missing_setting() -> None:
    async with Emulator().running() as emulator:
        emulator.plan(Fault(status=401), vendor="openai", times=9)
        row = VendorSettings.model_validate({"api": "openai", "base_url": emulator.base_urls()["openai"]})
        (result,) = await check_vendors(live_settings(emulator).model_copy(update={"vendors": {"spare": row}}), {})
    assert result.missing == ("the vendor wants a key: set vendors.spare.api_key_env to its variable's name.",)


async def test_an_invalid_key_is_reported_and_never_sent() -> None:
    async with Emulator().running() as emulator:
        keys = KEYS | {"OPENAI_API_KEY": "sk-1\u200b", "GEMINI_API_KEY": "gemini-secret-3\n"}
        results = {
            result.vendor: result
            for result in await check_vendors(live_settings(emulator), agent_environment(emulator.base_urls(), keys))
        }
        assert not any(request.vendor == "openai" for request in emulator.journal)
    assert results["openai"].missing == ("OPENAI_API_KEY holds a character no key has (position 5): export it again.",)
    assert results["gemini"].missing == ()


async def test_the_latency_excludes_the_construction_of_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow_probe(account: VendorAccount) -> Probe:
        # The last client's: if requests were sent before all clients are made, those of the others would be late too.
        time.sleep(2 if account.api == VENDORS[-1] else 0)
        return make_probe(account)

    async with Emulator().running() as emulator:
        await check_vendors(live_settings(emulator), agent_environment(emulator.base_urls()))
        monkeypatch.setattr("cluster.check.command.make_probe", slow_probe)
        results = await check_vendors(live_settings(emulator), agent_environment(emulator.base_urls()))
    assert all(result.latency_ms is not None and result.latency_ms < 2_000 for result in results)


async def write_config(emulator: Emulator, directory: Path, *without: str) -> Path:
    config = live_config(emulator.base_urls())
    for name in without:
        del config["applications"][0]["args"]["vendors"][name]
    file = directory / "config.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return file


@pytest.mark.parametrize(
    ("vendor", "message"),
    [
        ("voyage", "args.embeddings.models: voyage-multimodal-3.5 needs a row named voyage"),
        ("gemini", "args.vision.simple, args.llm.simple: gemini-3.5-flash-lite needs a row named gemini"),
        ("deepgram", "RAYROOM_STT_MODELS: nova-3 needs a row named deepgram"),
        ("elevenlabs", "RAYROOM_TTS_MODELS: eleven_turbo_v2_5 needs a row named elevenlabs"),
    ],
)
async def test_a_model_whose_vendor_has_no_row_is_a_problem(vendor: str, message: str, tmp_path: Path) -> None:
    async with Emulator().running() as emulator:
        result = await run_check(
            await write_config(emulator, tmp_path, vendor), **agent_environment(emulator.base_urls())
        )
    assert result.exit_code == 1 and message in result.output


async def test_speech_models_are_checked_only_with_voice_on(tmp_path: Path) -> None:
    async with Emulator().running() as emulator:
        file = await write_config(emulator, tmp_path, "deepgram", "elevenlabs")
        environment = agent_environment(emulator.base_urls())
        codes = [(await run_check(file, **environment | {"RAYROOM_VOICE": voice})).exit_code for voice in ("off", "on")]
    assert codes == [0, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"RAYROOM_STT_MODELS": "nova-99"}, "RAYROOM_STT_MODELS"),
        ({"RAYROOM_TTS_MODELS": "nova-3"}, "RAYROOM_TTS_MODELS"),
    ],
)
async def test_an_unknown_speech_model_is_named_by_its_variable(
    changes: dict[str, str], message: str, tmp_path: Path
) -> None:
    async with Emulator().running() as emulator:
        result = await run_check(
            await write_config(emulator, tmp_path), **agent_environment(emulator.base_urls()) | changes
        )
    assert message in str(result.exception) and "models.toml has no model" in str(result.exception)


@pytest.mark.parametrize("voice", ["[/b]", "[bold]x", "voice\nbelow", "\x1b[31mred", "voice,"])
async def test_values_of_the_environment_are_printed_without_markup_or_control_characters(
    voice: str, tmp_path: Path
) -> None:
    async with Emulator().running() as emulator:
        environment = agent_environment(emulator.base_urls()) | {"RAYROOM_VOICE_ID": voice}
        result = await run_check(await write_config(emulator, tmp_path), **environment)
    plain = voice.replace("\n", " ").replace("\x1b", " ")
    assert f"the account has no voice {plain}: add it" in result.output and "\x1b" not in result.output


@pytest.mark.parametrize("name", ["[/x].yaml", "[red]", "a\x1b[2J.yaml"])
def test_an_error_message_is_not_parsed_as_markup(name: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("sys.argv", ["rayroom", "check", name])
    with pytest.raises(SystemExit) as excinfo:
        main()
    stderr = capsys.readouterr().err
    assert excinfo.value.code == 2 and name.replace("\x1b", " ") in stderr and "\x1b" not in stderr


async def test_a_trailing_comma_in_a_list_of_models_is_ignored(tmp_path: Path) -> None:
    async with Emulator().running() as emulator:
        file = await write_config(emulator, tmp_path)
        models = {"RAYROOM_STT_MODELS": "nova-3,", "RAYROOM_TTS_MODELS": " eleven_flash_v2_5 , "}
        result = await run_check(file, **agent_environment(emulator.base_urls()) | models)
    assert result.exit_code == 0, result.output
