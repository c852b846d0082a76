"""`rayroom serve` starts Ray with its token authentication on and its ports on loopback."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cluster.config.serve_env import LOOPBACK, protected_ray


def test_rays_authentication_is_on_with_a_token_that_only_its_owner_can_read(tmp_path: Path) -> None:
    assert protected_ray({}, tmp_path) == {"RAY_AUTH_MODE": "token", LOOPBACK: "0"}
    assert protected_ray({"RAY_ADDRESS": "10.0.0.1:6379"}, tmp_path) == {"RAY_AUTH_MODE": "token"}
    token = tmp_path / ".ray" / "auth_token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600 and len(token.read_text()) == 64
    before = token.read_text()
    protected_ray({}, tmp_path)
    assert token.read_text() == before


@pytest.mark.parametrize("variable", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_a_token_of_the_environment_is_used_and_none_is_made_in_the_home_directory(
    tmp_path: Path, variable: str
) -> None:
    assert protected_ray({variable: str(tmp_path / "token")}, tmp_path / "home")["RAY_AUTH_MODE"] == "token"
    assert not (tmp_path / "home").exists()


def test_an_operators_own_choice_takes_precedence_and_is_warned_of(tmp_path: Path) -> None:
    with capture_logs() as logs:
        assert protected_ray({"RAY_AUTH_MODE": "disabled", LOOPBACK: "1"}, tmp_path) == {}
    assert ["authentication disabled" in entry["event"] for entry in logs] == [True]
    assert list(tmp_path.iterdir()) == []


def test_a_token_that_others_can_read_is_warned_of_without_being_shown(tmp_path: Path) -> None:
    (tmp_path / ".ray").mkdir()
    token = tmp_path / ".ray" / "auth_token"
    token.write_text("a-token-of-the-test")
    token.chmod(0o644)
    with capture_logs() as logs:
        protected_ray({}, tmp_path)
    (entry,) = logs
    assert "mode 0644" in entry["reason"] and "a-token-of-the-test" not in str(entry)
