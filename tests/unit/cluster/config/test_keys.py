"""Keys come from the environment, or are generated once into a file that only its owner can read."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.config.keys import ADMIN, AGENT, SECRET, find_keys, read_keys_file
from routing.errors import ConfigurationError

ENVIRONMENT = {AGENT: "agent-key-0123456789,agent-key-next-one-1", ADMIN: "admin-key-0123456789", SECRET: "s" * 32}


def test_keys_of_the_environment_are_used_and_no_file_is_written(tmp_path: Path) -> None:
    keys = find_keys(ENVIRONMENT, tmp_path / "keys.env")
    assert keys.agent == ("agent-key-0123456789", "agent-key-next-one-1")
    assert list(tmp_path.iterdir()) == []


def test_missing_keys_are_generated_once_with_owner_only_permissions(tmp_path: Path) -> None:
    file = tmp_path / "new" / "keys.env"
    first, second = find_keys({}, file), find_keys({}, file)
    assert first == second and len(first.agent[0]) >= 40 and first.agent != first.admin
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_two_key_files_hold_different_keys(tmp_path: Path) -> None:
    assert find_keys({}, tmp_path / "a.env") != find_keys({}, tmp_path / "b.env")


def test_concurrent_callers_generate_one_set_of_keys(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: find_keys({}, tmp_path / "keys.env"), range(16)))
    assert all(keys == results[0] for keys in results)


def test_a_key_of_the_environment_overrides_the_file(tmp_path: Path) -> None:
    generated = find_keys({}, tmp_path / "keys.env")
    mixed = find_keys({ADMIN: ENVIRONMENT[ADMIN]}, tmp_path / "keys.env")
    assert mixed.admin == (ENVIRONMENT[ADMIN],) and mixed.agent == generated.agent


def test_a_keys_file_is_parsed_as_a_shell_would(tmp_path: Path) -> None:
    (tmp_path / "keys.env").write_text("# a comment\nexport A='x y'\nB=z\n")
    assert read_keys_file(tmp_path / "keys.env") == {"A": "x y", "B": "z"}


@pytest.mark.parametrize("change", [{AGENT: "short"}, {ADMIN: "long-enough-0123456789,short"}, {SECRET: "x" * 31}])
def test_a_short_key_is_rejected_without_being_shown(tmp_path: Path, change: dict[str, str]) -> None:
    ((name, value),) = change.items()
    with pytest.raises(ConfigurationError, match=name) as excinfo:
        find_keys(ENVIRONMENT | change, tmp_path / "keys.env")
    assert value not in excinfo.value.message


def test_the_repr_hides_the_keys(tmp_path: Path) -> None:
    keys = find_keys(ENVIRONMENT, tmp_path / "keys.env")
    assert "agent-key" not in repr(keys) and "ssss" not in repr(keys)
