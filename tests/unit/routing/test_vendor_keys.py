"""A key is stripped and validated, an invalid one is rejected with the name of its variable, and none is shown."""

from __future__ import annotations

import pytest

from routing.errors import ConfigurationError
from routing.vendor_keys import hide_keys, keys_in, read_key


def test_whitespace_around_a_key_is_stripped() -> None:
    assert read_key({"KEY": " sk-1234\r\n"}, "KEY") == "sk-1234"


def test_the_first_variable_with_a_key_is_used() -> None:
    environment = {"ONE": " \n", "TWO": "sk-2", "THREE": "sk-3"}
    assert read_key(environment, "NONE", "ONE", "TWO", "THREE") == "sk-2" and read_key(environment, "ONE") == ""


@pytest.mark.parametrize(
    ("key", "position"),
    [("sk-1 234", 5), ("sk-1\n234", 5), ("sk-1é", 5), ("\u200bsk-1", 1), ('"sk-1"', 1), ("sk-1'", 5), ("sk-\x1b1", 4)],
)
def test_an_invalid_character_is_reported_by_its_position(key: str, position: int) -> None:
    with pytest.raises(ConfigurationError) as excinfo:
        read_key({"SOME_API_KEY": key}, "SOME_API_KEY")
    message = excinfo.value.message
    assert message == f"SOME_API_KEY holds a character no key has (position {position}): export it again."


ENVIRONMENT = {"A_API_KEY": "tiger-in-a-tank", "SOME_KEYS": "lion-and-lamb, wolf-and-hare", "MINE": "'quoted-bear'"}


@pytest.mark.parametrize("key", ["tiger-in-a-tank", "lion-and-lamb", "wolf-and-hare", "quoted-bear"])
def test_keys_of_the_environment_are_hidden_in_any_text(key: str) -> None:
    assert hide_keys(f"no voice {key}: add it", keys_in(ENVIRONMENT, ["MINE"])) == "no voice (hidden): add it"


def test_the_longer_of_two_overlapping_keys_is_hidden_completely() -> None:
    keys = keys_in({"ONE_KEY": "tiger-in-a-tank", "OTHER_KEY": "tiger-in-a-tank-and-more"})
    assert hide_keys("tiger-in-a-tank-and-more", keys) == "(hidden)"


def test_other_values_are_shown() -> None:
    environment = {"HOME": "/home/somebody", "KEYBOARD": "qwertz-layout", "LIVEKIT_API_KEY": "devkey"}
    text = "/home/somebody qwertz-layout devkey task-force spa-town mask_of nova-3 hpp4J3VqNfWAUOO0d1Us https://a.b/c"
    assert keys_in(environment) == [] and hide_keys(text, keys_in(environment)) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://u:p@w@host/v1", "https://(hidden)@host/v1"),
        ("https://host/v1?a=b&api_key=tiger", "https://host/v1?a=b&api_key=(hidden)"),
        ("'AQ.Ab8RN6Jk3-_x'", "'(hidden)'"),
        ("Authorization: Bearer tigerlily", "Authorization: (hidden)"),
    ],
)
def test_a_string_shaped_like_a_key_is_hidden(text: str, shown: str) -> None:
    assert hide_keys(text) == shown
