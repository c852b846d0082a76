"""No key is shown by `rayroom check` or `rayroom config check`, wherever one was pasted."""

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
from tests.integration.cluster.test_check import KEYS, VENDORS, document, run, told

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


def pasted(key: str, place: str) -> dict[str, Any]:
    whole = copy.deepcopy(document(dict.fromkeys(VENDORS, "http://127.0.0.1:9")))
    inner, (*steps, last) = whole["applications"][0]["args"], place.split("/")
    for step in steps:
        inner = inner[step]
    inner[last] = [key] if last == "simple" else key
    return whole


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("key", PASTED)
def test_a_refused_file_shows_no_key(
    key: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(pasted(PASTED[key], PLACES[place])))
    monkeypatch.setenv("DEEPGRAM_API_KEY", KEYS["DEEPGRAM_API_KEY"])
    monkeypatch.setattr("sys.argv", ["rayroom", "config", "check", str(file)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = "".join(capsys.readouterr())
    assert ended.value.code == 2 and "args." in said and PASTED[key].removeprefix("Bearer ")[4:] not in said


@pytest.mark.parametrize("key", PASTED)
async def test_a_key_in_the_voices_place_is_shown_nowhere_and_told_nobody(key: str, tmp_path: Path) -> None:
    async with Emulator().running() as emulator:
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(document(emulator.base_urls())))
        environment = told(emulator.base_urls()) | {"RAYROOM_VOICE_ID": PASTED[key]}
        shown = [await run(file, *options, **environment) for options in ((), ("--json",))]
        paths = [seen.path for seen in emulator.journal]
    said = "".join(one.output for one in shown)
    assert [one.exit_code for one in shown] == [1, 1] and PASTED[key] not in said and "no voice (hidden)" in said
    assert key == "this environment's" or not any(PASTED[key] in path for path in paths)


@pytest.mark.parametrize("where", ["RAYROOM_STT_MODELS", "RAYROOM_TTS_MODELS"])
def test_a_key_in_a_models_place_is_not_shown(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    whole = document(dict.fromkeys(VENDORS, "http://127.0.0.1:9"))
    whole["applications"][0]["args"]["vendors"]["voyage"]["api_key_env"] = "OURS"
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(whole))
    monkeypatch.setenv("OURS", "none-by-its-looks")
    monkeypatch.setenv(where, "none-by-its-looks")
    monkeypatch.setattr("sys.argv", ["rayroom", "check", str(file)])
    with pytest.raises(SystemExit):
        main()
    assert f"{where}: models.toml has no model '(hidden)'" in capsys.readouterr().err


SECRETIVE = [
    "http://127.0.0.1:9/v1?key=AIzaSyFAKEFAKEFAKE",
    "http://127.0.0.1:9/v1?token=tiger#tiger",
    "http://user:p@ss-tiger@127.0.0.1:9/v1",
    "http://user:p/tiger@127.0.0.1:9/v1",
    "http://user:p?tiger@127.0.0.1:9/v1",
]


@pytest.mark.parametrize("url", SECRETIVE)
async def test_an_address_is_shown_without_its_password_and_its_query(url: str) -> None:
    args = document(dict.fromkeys(VENDORS, url))["applications"][0]["args"]
    found = await check_vendors(parse_settings(args), told(dict.fromkeys(VENDORS, url)))
    lines = [line for one in found for line in one.missing]
    assert sum("(seen: 'http://127.0.0.1:9/v1')" in line for line in lines) == len(VENDORS)
    assert not any(part in line for line in lines for part in ("AIza", "tiger", "ss-"))
