"""`rayroom check` at vendors with odd answers, at wrong addresses, and with incomplete configurations."""

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
from tests.integration.cluster.test_check import KEYS, SPEECH_URLS, VENDORS, document, run, settings, told
from tests.support.speech_clients import serving

BY_ID = ["openai", "anthropic", "gemini"]


async def at(answer: web.Response, environment: Mapping[str, str] = KEYS) -> dict[str, CheckedVendor]:
    """Check every vendor where each request gets one answer."""

    async def say(_: web.Request) -> web.Response:
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    async with serving([web.route("*", "/{path:.*}", say)]) as root:
        urls = dict.fromkeys(VENDORS, root)
        live = parse_settings(document(urls)["applications"][0]["args"])
        return {one.vendor: one for one in await check_vendors(live, told(urls, environment))}


WHERE = {name: f"vendors.{name}.base_url" for name in VENDORS} | {url: name for name, url in SPEECH_URLS.items()}
NO_ANSWERS = {
    "a page": web.Response(text="<html>the hotel's network</html>", content_type="text/html"),
    "an empty object": web.json_response({}),
    "an empty list": web.json_response([]),
    "null": web.json_response(None),
    "a name of nothing": web.json_response({"id": "", "name": ""}),
    "no content": web.Response(status=204),
}


@pytest.mark.parametrize("name", NO_ANSWERS)
async def test_an_answer_that_names_no_model_is_none(name: str) -> None:
    found = await at(NO_ANSWERS[name])
    assert all(one.missing for one in found.values())
    assert all("cannot be read" in found[vendor].missing[0] and found[vendor].reachable for vendor in BY_ID)


@pytest.mark.parametrize("name", NO_ANSWERS)
@pytest.mark.parametrize("api", BY_ID)
async def test_nor_is_a_list_that_names_none(api: str, name: str) -> None:
    async def say(_: web.Request) -> web.Response:
        return web.Response(status=NO_ANSWERS[name].status, body=NO_ANSWERS[name].body)

    async with serving([web.route("*", "/{path:.*}", say)]) as root:
        row = VendorSettings.model_validate({"api": api, "base_url": root})
        live = parse_settings(document(dict.fromkeys(VENDORS, root))["applications"][0]["args"])
        (found,) = await check_vendors(live.model_copy(update={"vendors": {"spare": row}}), {})
    assert "cannot be read" in found.missing[0]


@pytest.mark.parametrize(("status", "said"), [(404, "no such path (HTTP 404)"), (307, "redirects (HTTP 307): set ")])
async def test_a_wrong_address_is_named_with_its_key(status: int, said: str) -> None:
    found = await at(web.Response(status=status, text="<html>", headers={"location": "http://localhost:9/"}))
    assert all(said in one.missing[0] and WHERE[one.vendor] in one.missing[0] for one in found.values())


async def test_an_address_where_nobody_listens_is_named_with_its_key() -> None:
    urls = dict.fromkeys(VENDORS, "http://127.0.0.1:9/v1")
    for one in await check_vendors(parse_settings(document(urls)["applications"][0]["args"]), told(urls)):
        assert f"Is {WHERE[one.vendor]} right (seen: 'http://127.0.0.1:9/v1')?" in one.missing[0]


async def test_a_server_that_has_a_list_only_is_asked_for_that() -> None:
    async def every(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "gpt-6-luna", "object": "model"}]})

    async with serving([web.get("/models", every)]) as root:
        live = parse_settings(document(dict.fromkeys(VENDORS, root))["applications"][0]["args"])
        only = live.model_copy(update={"vendors": {"openai": live.vendors["openai"]}})
        (found,) = await check_vendors(only, KEYS)
    assert found.models == {"gpt-6-luna": True, "gpt-6.1-sol": False}


async def test_a_vendor_that_wants_a_key_of_a_row_without_one_is_told_so() -> None:
    async with Emulator().running() as emulator:
        emulator.plan(Fault(status=401), vendor="openai", times=9)
        row = VendorSettings.model_validate({"api": "openai", "base_url": emulator.base_urls()["openai"]})
        (found,) = await check_vendors(settings(emulator).model_copy(update={"vendors": {"spare": row}}), {})
    assert found.missing == ("the vendor wants a key: set vendors.spare.api_key_env to its variable's name.",)


async def test_a_key_that_can_be_none_is_asked_of_nobody() -> None:
    async with Emulator().running() as emulator:
        keys = KEYS | {"OPENAI_API_KEY": "sk-1\u200b", "GEMINI_API_KEY": "gemini-secret-3\n"}
        found = {one.vendor: one for one in await check_vendors(settings(emulator), told(emulator.base_urls(), keys))}
        assert not any(seen.vendor == "openai" for seen in emulator.journal)
    assert found["openai"].missing == ("OPENAI_API_KEY holds a character no key has (position 5): export it again.",)
    assert found["gemini"].missing == ()


async def test_the_first_answer_does_not_wait_for_the_other_vendors_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(account: VendorAccount) -> Probe:
        time.sleep(1)
        return make_probe(account)

    async with Emulator().running() as emulator:
        await check_vendors(settings(emulator), told(emulator.base_urls()))
        monkeypatch.setattr("cluster.check.command.make_probe", slow)
        found = await check_vendors(settings(emulator), told(emulator.base_urls()))
    assert all(one.latency_ms is not None and one.latency_ms < 1_000 for one in found)


async def file_of(emulator: Emulator, directory: Path, *without: str) -> Path:
    whole = document(emulator.base_urls())
    for name in without:
        del whole["applications"][0]["args"]["vendors"][name]
    file = directory / "config.yaml"
    file.write_text(yaml.safe_dump(whole, sort_keys=False))
    return file


@pytest.mark.parametrize(
    ("vendor", "said"),
    [
        ("voyage", "args.embeddings.models: voyage-multimodal-3.5 needs a row named voyage"),
        ("gemini", "args.vision.simple, args.llm.simple: gemini-3.5-flash-lite needs a row named gemini"),
        ("deepgram", "RAYROOM_STT_MODELS: nova-3 needs a row named deepgram"),
        ("elevenlabs", "RAYROOM_TTS_MODELS: eleven_turbo_v2_5 needs a row named elevenlabs"),
    ],
)
async def test_a_model_whose_vendor_has_no_row_is_missing(vendor: str, said: str, tmp_path: Path) -> None:
    async with Emulator().running() as emulator:
        shown = await run(await file_of(emulator, tmp_path, vendor), **told(emulator.base_urls()))
    assert shown.exit_code == 1 and said in shown.output


async def test_models_of_a_voice_are_nothing_to_those_who_only_write(tmp_path: Path) -> None:
    async with Emulator().running() as emulator:
        file = await file_of(emulator, tmp_path, "deepgram", "elevenlabs")
        keys = told(emulator.base_urls())
        codes = [(await run(file, **keys | {"RAYROOM_VOICE": voice})).exit_code for voice in ("off", "on")]
    assert codes == [0, 1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"RAYROOM_STT_MODELS": "nova-99"}, "RAYROOM_STT_MODELS"),
        ({"RAYROOM_TTS_MODELS": "nova-3"}, "RAYROOM_TTS_MODELS"),
    ],
)
async def test_a_model_of_a_voice_that_nobody_knows_is_named_by_its_variable(
    changes: dict[str, str], said: str, tmp_path: Path
) -> None:
    async with Emulator().running() as emulator:
        shown = await run(await file_of(emulator, tmp_path), **told(emulator.base_urls()) | changes)
    assert said in str(shown.exception) and "models.toml has no model" in str(shown.exception)


@pytest.mark.parametrize("voice", ["[/b]", "[bold]x", "voice\nbelow", "\x1b[31mred", "voice,"])
async def test_what_the_environment_says_is_shown_as_it_is_and_moves_nothing(voice: str, tmp_path: Path) -> None:
    async with Emulator().running() as emulator:
        keys = told(emulator.base_urls()) | {"RAYROOM_VOICE_ID": voice}
        shown = await run(await file_of(emulator, tmp_path), **keys)
    plain = voice.replace("\n", " ").replace("\x1b", " ")
    assert f"the account has no voice {plain}: add it" in shown.output and "\x1b" not in shown.output


@pytest.mark.parametrize("name", ["[/x].yaml", "[red]", "a\x1b[2J.yaml"])
def test_an_error_is_no_markup(name: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("sys.argv", ["rayroom", "check", name])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2 and name.replace("\x1b", " ") in said and "\x1b" not in said


async def test_a_trailing_comma_is_read_as_the_agent_reads_it(tmp_path: Path) -> None:
    async with Emulator().running() as emulator:
        file = await file_of(emulator, tmp_path)
        listed = {"RAYROOM_STT_MODELS": "nova-3,", "RAYROOM_TTS_MODELS": " eleven_flash_v2_5 , "}
        shown = await run(file, **told(emulator.base_urls()) | listed)
    assert shown.exit_code == 0, shown.output
