"""The agent's environment variables are checked at start, and speech settings only if speech is on."""

from __future__ import annotations

from pathlib import Path

import pytest

from room_agent.core.settings import load_settings
from routing.errors import ConfigurationError

REQUIRED = {
    "LIVEKIT_URL": "ws://x",
    "LIVEKIT_API_KEY": "k",
    "LIVEKIT_API_SECRET": "s",
    "RAYROOM_AGENT_KEYS": "an-agent-key-of-tests",
}
KEYS = {"DEEPGRAM_API_KEY": "deepgram-secret", "ELEVENLABS_API_KEY": "eleven-secret"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAYROOM_USAGE_DIR", str(tmp_path / "usage"))
    for name in (*KEYS, "ELEVEN_API_KEY", "RAYROOM_VOICE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)


def test_no_vendor_key_is_needed_while_speech_is_off() -> None:
    assert not load_settings().speech.voice


@pytest.mark.parametrize(("present", "missing"), [([], "DEEPGRAM_API_KEY"), (["DEEPGRAM_API_KEY"], "ELEVEN_API_KEY")])
def test_speech_without_a_vendor_key_is_refused_and_the_key_is_named(
    present: list[str], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYROOM_VOICE", "on")
    for name in present:
        monkeypatch.setenv(name, KEYS[name])
    with pytest.raises(ConfigurationError) as raised:
        load_settings()
    assert missing in raised.value.message and "secret" not in raised.value.message


def test_speech_settings_keep_the_order_of_models_and_show_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (KEYS | {"RAYROOM_VOICE": "on", "RAYROOM_NAMES": "Robin, rob in"}).items():
        monkeypatch.setenv(name, value)
    speech = load_settings().speech
    assert speech.tts_models == ("eleven_flash_v2_5", "eleven_turbo_v2_5") and speech.names == ("Robin", "rob in")
    assert speech.eleven_key == "eleven-secret" and "secret" not in repr(load_settings()) + repr(speech)


@pytest.mark.parametrize("value", ["", "pause", "model"])
def test_the_pause_alone_ends_a_turn_unless_a_model_is_chosen(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYROOM_END_OF_TURN", value)
    assert load_settings().speech.end_of_turn == (value or "pause")


def test_keys_and_models_are_read_without_surrounding_blanks_and_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"DEEPGRAM_API_KEY": "deepgram-secret\n", "ELEVEN_API_KEY": " ", "RAYROOM_STT_MODELS": "nova-3,"}
    for name, value in (KEYS | variables | {"RAYROOM_VOICE": "on"}).items():
        monkeypatch.setenv(name, value)
    speech = load_settings().speech
    assert (speech.deepgram_key, speech.eleven_key) == ("deepgram-secret", "eleven-secret")
    assert speech.stt_models == ("nova-3",)


@pytest.mark.parametrize(
    ("name", "value"), [("DEEPGRAM_API_KEY", '"deepgram-secret"'), ("ELEVENLABS_API_KEY", "eleven secret")]
)
def test_a_malformed_key_is_refused_by_its_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, content in (KEYS | {"RAYROOM_VOICE": "on", name: value}).items():
        monkeypatch.setenv(key, content)
    with pytest.raises(ConfigurationError, match=f"{name} holds a character no key has") as raised:
        load_settings()
    assert "secret" not in raised.value.message


def test_an_empty_list_of_models_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYROOM_TTS_MODELS", " , ")
    with pytest.raises(ConfigurationError, match="RAYROOM_TTS_MODELS"):
        load_settings()


def test_a_model_without_a_price_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (KEYS | {"RAYROOM_VOICE": "on", "RAYROOM_STT_MODELS": "nova-3,nova-99"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match="nova-99"):
        load_settings()


def test_speech_needs_a_writable_usage_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, value in (KEYS | {"RAYROOM_VOICE": "on", "RAYROOM_USAGE_DIR": str(tmp_path / "file" / "usage")}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match="RAYROOM_USAGE_DIR"):
        load_settings()


def test_settings_name_every_variable_that_is_missing_or_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "RAYROOM_AGENT_KEYS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LIVEKIT_URL", "http://not-a-websocket")
    with pytest.raises(ConfigurationError) as raised:
        load_settings()
    for name in ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "RAYROOM_AGENT_KEYS"):
        assert name in raised.value.message


def test_the_first_of_several_agent_keys_is_used_and_none_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"LIVEKIT_URL": "ws://x", "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "livekit-secret"}
    for name, value in (variables | {"RAYROOM_AGENT_KEYS": "first-key-0123456, second-key"}).items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.agent_key == "first-key-0123456"
    assert "first-key" not in repr(settings) and "livekit-secret" not in repr(settings)


def test_rooms_with_speech_do_not_share_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYROOM_ROOM_ISOLATION", "thread")
    assert load_settings().rooms_share_a_process
    for name, value in (KEYS | {"RAYROOM_VOICE": "on"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as raised:
        load_settings()
    assert raised.value.param == "RAYROOM_ROOM_ISOLATION"


def test_rooms_share_a_process_where_dispatch_brings_them_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not load_settings().rooms_share_a_process
    monkeypatch.setenv("RAYROOM_DISPATCH_URL", "http://dispatch:8010")
    assert load_settings().rooms_share_a_process
    monkeypatch.setenv("RAYROOM_ROOM_ISOLATION", "process")
    assert not load_settings().rooms_share_a_process
    monkeypatch.delenv("RAYROOM_ROOM_ISOLATION")
    for name, value in (KEYS | {"RAYROOM_VOICE": "on"}).items():
        monkeypatch.setenv(name, value)
    assert not load_settings().rooms_share_a_process


@pytest.mark.parametrize(
    ("url", "relay", "used"),
    [
        ("ws://127.0.0.1:7880", "on", True),
        ("wss://livekit.example.com", "off", False),
        ("wss://mine.livekit.cloud", "on", False),
    ],
)
def test_the_signal_relay_can_be_switched_on_and_is_never_used_at_livekit_cloud(
    url: str, relay: str, used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVEKIT_URL", url)
    monkeypatch.setenv("RAYROOM_SIGNAL_RELAY", relay)
    assert load_settings().uses_signal_relay == used


def test_a_worker_has_no_fixed_number_of_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().max_rooms is None
    monkeypatch.setenv("RAYROOM_MAX_ROOMS", "3")
    assert load_settings().max_rooms == 3
