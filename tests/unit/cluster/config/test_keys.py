"""Keys come from the environment, or are generated once into a file that only its owner can read."""

from __future__ import annotations

import pickle
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cluster.config.keys import (
    ADMIN,
    AGENT,
    DISPATCH_SECRET,
    RELOAD_EVERY_S,
    SECRET,
    KeyFile,
    find_keys,
    read_keys_file,
)
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
    (tmp_path / "keys.env").chmod(0o600)
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


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o666])
def test_a_keys_file_that_everybody_can_read_or_write_is_refused_by_its_name(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "keys.env"
    find_keys({}, file)
    file.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"keys.env: has mode {mode:04o}.*chmod 600"):
        find_keys({}, file)
    file.chmod(0o640)
    assert find_keys({}, file).admin


def write_keys(file: Path, **changes: str) -> None:
    """Write a keys file as an operator does: a new file in the place of the old one."""
    lines = {AGENT: "agent-key-0123456789", ADMIN: "admin-key-0123456789", SECRET: "s" * 32} | changes
    draft = file.with_suffix(".draft")
    draft.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    draft.chmod(0o600)
    draft.replace(file)


def test_a_changed_keys_file_is_read_again_without_a_restart(tmp_path: Path) -> None:
    file, now_s = tmp_path / "keys.env", 0.0
    write_keys(file)
    keys = KeyFile(file, {}, lambda: now_s)
    first = keys.current()
    write_keys(file, **{SECRET: f"{'n' * 32},{'s' * 32}", AGENT: "agent-key-0123456789,agent-key-of-monday"})
    assert keys.current() is first
    now_s += RELOAD_EVERY_S
    assert keys.current().token_secrets == ("n" * 32, "s" * 32)
    assert keys.current().agent == ("agent-key-0123456789", "agent-key-of-monday")
    unchanged = keys.current()
    now_s += RELOAD_EVERY_S
    assert keys.current() is unchanged


@pytest.mark.parametrize("fault", ["short", "readable", "gone", "quote"])
def test_a_wrong_keys_file_leaves_the_former_keys_valid_and_is_logged_without_a_key(tmp_path: Path, fault: str) -> None:
    file, now_s = tmp_path / "keys.env", 0.0
    write_keys(file)
    keys = KeyFile(file, {}, lambda: now_s)
    first = keys.current()
    write_keys(
        file, **{ADMIN: {"short": "tiny-key", "quote": "'an-open-quote-0123"}.get(fault, "admin-key-of-monday-1")}
    )
    if fault == "readable":
        file.chmod(0o644)
    if fault == "gone":
        file.unlink()
    now_s += RELOAD_EVERY_S
    with capture_logs() as logs:
        assert keys.current() is first
    (entry,) = logs
    assert entry["event"].startswith("keys file rejected") and "tiny-key" not in str(entry)
    write_keys(file, **{ADMIN: "admin-key-of-tuesday"})
    now_s += RELOAD_EVERY_S
    assert keys.current().admin == ("admin-key-of-tuesday",)


def test_a_process_without_keys_names_the_missing_variable_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=AGENT):
        KeyFile(tmp_path / "keys.env", {}).current()
    assert list(tmp_path.iterdir()) == []


def test_an_agent_key_may_be_limited_to_tenants(tmp_path: Path) -> None:
    keys = find_keys(
        ENVIRONMENT | {AGENT: "agent-key-0123456789@acme+globex, agent-key-for-all-1"}, tmp_path / "keys.env"
    )
    assert keys.agent == ("agent-key-0123456789", "agent-key-for-all-1")
    assert keys.agent_tenants == {"agent-key-0123456789": frozenset({"acme", "globex"})}


def test_dispatch_secrets_are_optional_and_never_short(tmp_path: Path) -> None:
    assert find_keys(ENVIRONMENT, tmp_path / "keys.env").dispatch_secrets == ()
    signed = find_keys(ENVIRONMENT | {DISPATCH_SECRET: f"{'d' * 32},{'e' * 32}"}, tmp_path / "keys.env")
    assert signed.dispatch_secrets == ("d" * 32, "e" * 32)
    with pytest.raises(ConfigurationError, match=DISPATCH_SECRET):
        find_keys(ENVIRONMENT | {DISPATCH_SECRET: "short"}, tmp_path / "keys.env")


def test_no_key_is_pickled_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.env"
    write_keys(file)
    keys = KeyFile(file, {AGENT: "planted-agent-key-1"})
    keys.current()
    pickled = pickle.dumps(keys)
    assert b"planted-agent-key" not in pickled and b"admin-key-0123456789" not in pickled
    assert pickle.loads(pickled).current().admin == ("admin-key-0123456789",)
