"""A key is read in one way, one that cannot be a key is refused by its variable's name; none is ever shown."""

from __future__ import annotations

import pytest

from routing.errors import ConfigurationError
from routing.vendor_keys import hide_keys, keys_in, read_key


def test_blanks_around_a_key_are_no_part_of_it() -> None:
    assert read_key({"KEY": " sk-1234\r\n"}, "KEY") == "sk-1234"


def test_the_first_name_that_holds_a_key_is_read() -> None:
    environment = {"ONE": " \n", "TWO": "sk-2", "THREE": "sk-3"}
    assert read_key(environment, "NONE", "ONE", "TWO", "THREE") == "sk-2" and read_key(environment, "ONE") == ""


@pytest.mark.parametrize(
    ("key", "position"),
    [("sk-1 234", 5), ("sk-1\n234", 5), ("sk-1é", 5), ("\u200bsk-1", 1), ('"sk-1"', 1), ("sk-1'", 5), ("sk-\x1b1", 4)],
)
def test_a_character_no_key_has_is_told_by_its_place(key: str, position: int) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_key({"SOME_API_KEY": key}, "SOME_API_KEY")
    said = refused.value.message
    assert said == f"SOME_API_KEY holds a character no key has (position {position}): export it again."


HELD = {"A_API_KEY": "tiger-in-a-tank", "SOME_KEYS": "lion-and-lamb, wolf-and-hare", "MINE": "'quoted-bear'"}


@pytest.mark.parametrize("key", ["tiger-in-a-tank", "lion-and-lamb", "wolf-and-hare", "quoted-bear"])
def test_the_environments_keys_are_hidden_wherever_they_stand(key: str) -> None:
    assert hide_keys(f"no voice {key}: add it", keys_in(HELD, ["MINE"])) == "no voice (hidden): add it"


def test_the_longer_of_two_keys_is_hidden_whole() -> None:
    keys = keys_in({"ONE_KEY": "tiger-in-a-tank", "OTHER_KEY": "tiger-in-a-tank-and-more"})
    assert hide_keys("tiger-in-a-tank-and-more", keys) == "(hidden)"


def test_what_is_no_key_is_shown() -> None:
    plain = {"HOME": "/home/somebody", "KEYBOARD": "qwertz-layout", "LIVEKIT_API_KEY": "devkey"}
    said = "/home/somebody qwertz-layout devkey task-force spa-town mask_of nova-3 hpp4J3VqNfWAUOO0d1Us https://a.b/c"
    assert keys_in(plain) == [] and hide_keys(said, keys_in(plain)) == said


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://u:p@w@host/v1", "https://(hidden)@host/v1"),
        ("https://host/v1?a=b&api_key=tiger", "https://host/v1?a=b&api_key=(hidden)"),
        ("'AQ.Ab8RN6Jk3-_x'", "'(hidden)'"),
        ("Authorization: Bearer tigerlily", "Authorization: (hidden)"),
    ],
)
def test_what_looks_like_a_key_is_hidden(text: str, shown: str) -> None:
    assert hide_keys(text) == shown
