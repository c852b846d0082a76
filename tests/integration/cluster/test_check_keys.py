"""Neither `rayroom check` nor `rayroom config check` shows a key, wherever it was pasted."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.check.command import check_vendors
from cluster.cli.main import main
from cluster.config.settings import parse_settings
from cluster.lab.emulator import Emulator
from tests.integration.cluster.test_check import KEYS, VENDORS, agent_environment, live_config, run_check

PASTED = {
    "openai": "sk-proj-9f8e7d6c5b4a39281706abcd",
    "elevenlabs": "sk_9f8e7d6c5b4a39281706",
    "google": "AIzaSyFAKEFAKEFAKEFAKE",
    "google's newer": "AQ.Ab8RN6Jk3secretsecretsecret",
    "deepgram": "9f8e7d6c5b4a392817069f8e7d6c5b4a39281706",
    "a header": "Bearer sk-proj-9f8e7d6c5b4a39281706abcd",
    "this environment's": "deepgram-secret-5",
}
PLACES = {
    "a key of the row": "vendors/openai/api_key",
    "its variable": "vendors/openai/api_key_env",
    "an address": "vendors/openai/base_url",
    "a protocol": "vendors/openai/api",
    "a switch": "vendors/openai/simulated",
    "a row": "vendors/openai",
    "a backend": "backend/url",
    "a model": "llm/simple",
    "the top": "openai",
}


def config_with_key(key: str, place: str) -> dict[str, Any]:
    config = copy.deepcopy(live_config(dict.fromkeys(VENDORS, "http://127.0.0.1:9")))
    inner, (*steps, last) = config["applications"][0]["args"], place.split("/")
    for step in steps:
        inner = inner[step]
    inner[last] = [key] if last == "simple" else key
    return config


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("key", PASTED)
def test_the_error_for_an_invalid_file_shows_no_key(
    key: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config_with_key(PASTED[key], PLACES[place])))
    monkeypatch.setenv("DEEPGRAM_API_KEY", KEYS["DEEPGRAM_API_KEY"])
    monkeypatch.setattr("sys.argv", ["rayroom", "config", "check", str(file)])
    with pytest.raises(SystemExit) as excinfo:
        main()
    output = "".join(capsys.readouterr())
    assert excinfo.value.code == 2 and "args." in output and PASTED[key].removeprefix("Bearer ")[4:] not in output


@pytest.mark.parametrize("key", PASTED)
async def test_a_key_pasted_as_the_voice_is_neither_shown_nor_sent(key: str, tmp_path: Path) -> None:
    async with Emulator().running() as emulator:
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(live_config(emulator.base_urls())))
        environment = agent_environment(emulator.base_urls()) | {"RAYROOM_VOICE_ID": PASTED[key]}
        results = [await run_check(file, *options, **environment) for options in ((), ("--json",))]
        paths = [request.path for request in emulator.journal]
    output = "".join(result.output for result in results)
    assert (
        [result.exit_code for result in results] == [1, 1]
        and PASTED[key] not in output
        and "no voice (hidden)" in output
    )
    assert key == "this environment's" or not any(PASTED[key] in path for path in paths)


@pytest.mark.parametrize("variable", ["RAYROOM_STT_MODELS", "RAYROOM_TTS_MODELS"])
def test_a_key_pasted_as_a_model_is_not_shown(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    config = live_config(dict.fromkeys(VENDORS, "http://127.0.0.1:9"))
    config["applications"][0]["args"]["vendors"]["voyage"]["api_key_env"] = "OURS"
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("OURS", "none-by-its-looks")
    monkeypatch.setenv(variable, "none-by-its-looks")
    monkeypatch.setattr("sys.argv", ["rayroom", "check", str(file)])
    with pytest.raises(SystemExit):
        main()
    assert f"{variable}: models.toml has no model '(hidden)'" in capsys.readouterr().err


URLS_WITH_SECRETS = [
    "http://127.0.0.1:9/v1?key=AIzaSyFAKEFAKEFAKE",
    "http://127.0.0.1:9/v1?token=tiger#tiger",
    "http://user:p@ss-tiger@127.0.0.1:9/v1",
    "http://user:p/tiger@127.0.0.1:9/v1",
    "http://user:p?tiger@127.0.0.1:9/v1",
]


@pytest.mark.parametrize("url", URLS_WITH_SECRETS)
async def test_an_address_is_shown_without_password_and_query(url: str) -> None:
    args = live_config(dict.fromkeys(VENDORS, url))["applications"][0]["args"]
    results = await check_vendors(parse_settings(args), agent_environment(dict.fromkeys(VENDORS, url)))
    lines = [line for result in results for line in result.missing]
    assert sum("(seen: 'http://127.0.0.1:9/v1')" in line for line in lines) == len(VENDORS)
    assert not any(part in line for line in lines for part in ("AIza", "tiger", "ss-"))
