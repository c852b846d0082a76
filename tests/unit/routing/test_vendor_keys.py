"""A key is read in one way, and one that cannot be a key is refused by its variable's name; it is never shown."""

from __future__ import annotations

import pytest

from routing.errors import ConfigurationError
from routing.vendor_keys import read_key


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
