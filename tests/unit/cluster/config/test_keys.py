"""The keys: from the environment, or random ones made once and kept where only their owner reads them."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.config.keys import ADMIN, AGENT, SECRET, find_keys, read_keys_file
from routing.errors import ConfigurationError

WHOLE = {AGENT: "agent-key-0123456789,agent-key-next-one-1", ADMIN: "admin-key-0123456789", SECRET: "s" * 32}


def test_the_environments_keys_are_taken_and_nothing_is_written(tmp_path: Path) -> None:
    keys = find_keys(WHOLE, tmp_path / "keys.env")
    assert keys.agent == ("agent-key-0123456789", "agent-key-next-one-1")
    assert list(tmp_path.iterdir()) == []


def test_keys_that_are_not_there_are_made_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "new" / "keys.env"
    first, second = find_keys({}, file), find_keys({}, file)
    assert first == second and len(first.agent[0]) >= 40 and first.agent != first.admin
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_two_clusters_have_different_keys(tmp_path: Path) -> None:
    assert find_keys({}, tmp_path / "a.env") != find_keys({}, tmp_path / "b.env")


def test_many_at_once_agree_on_one_set(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: find_keys({}, tmp_path / "keys.env"), range(16)))
    assert all(keys == found[0] for keys in found)


def test_a_key_of_the_environment_comes_before_the_files(tmp_path: Path) -> None:
    made = find_keys({}, tmp_path / "keys.env")
    mixed = find_keys({ADMIN: WHOLE[ADMIN]}, tmp_path / "keys.env")
    assert mixed.admin == (WHOLE[ADMIN],) and mixed.agent == made.agent


def test_a_file_is_read_as_a_shell_would(tmp_path: Path) -> None:
    (tmp_path / "keys.env").write_text("# a comment\nexport A='x y'\nB=z\n")
    assert read_keys_file(tmp_path / "keys.env") == {"A": "x y", "B": "z"}


@pytest.mark.parametrize("change", [{AGENT: "short"}, {ADMIN: "long-enough-0123456789,short"}, {SECRET: "x" * 31}])
def test_a_guessable_key_is_refused_without_being_shown(tmp_path: Path, change: dict[str, str]) -> None:
    ((name, value),) = change.items()
    with pytest.raises(ConfigurationError, match=name) as refused:
        find_keys(WHOLE | change, tmp_path / "keys.env")
    assert value not in refused.value.message


def test_keys_never_show_themselves(tmp_path: Path) -> None:
    keys = find_keys(WHOLE, tmp_path / "keys.env")
    assert "agent-key" not in repr(keys) and "ssss" not in repr(keys)
