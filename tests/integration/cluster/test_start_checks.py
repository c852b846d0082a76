"""An app that could not serve is refused before Ray starts, with the reason and the setting."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.config.settings import AppSettings, parse_settings
from cluster.costs.journal import Journal
from cluster.serve.app_process import DeployFailed
from cluster.serve.readiness import wait_until_ready
from cluster.serve.start_checks import API_PORT, check_ports, check_start, check_writable
from routing.errors import ConfigurationError

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent


def document(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "serve_config.yaml").read_text("utf-8"))
    arguments = content["applications"][0]["args"]
    arguments["costs"]["journal_path"] = str(tmp_path / "data" / "journal.db")
    arguments["keys"] = {"file": str(tmp_path / "keys.env")}
    for part, values in changes.items():
        arguments[part] |= values
    return content


def settings(tmp_path: Path, **changes: Any) -> AppSettings:
    return parse_settings(document(tmp_path, **changes)["applications"][0]["args"])


def test_a_startable_app_leaves_its_keys_and_an_empty_journal(tmp_path: Path) -> None:
    check_start(settings(tmp_path))
    assert (tmp_path / "keys.env").exists()
    # The aggregator can open the journal: nothing holds it any more.
    Journal(tmp_path / "data" / "journal.db").close()


def test_a_vendor_without_its_key_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    vendors = {"openai": {"api": "openai", "api_key_env": "OPENAI_API_KEY", "simulated": False}}
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        check_start(settings(tmp_path, vendors=vendors))


def test_a_backend_without_its_key_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAYROOM_BACKEND_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="RAYROOM_BACKEND_KEY"):
        check_start(settings(tmp_path, backend={"url": "http://127.0.0.1:9/trpc"}))


def test_a_journal_that_another_process_writes_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    journal = Journal(tmp_path / "data" / "journal.db")
    try:
        with pytest.raises(ConfigurationError, match=r"journal\.db"):
            check_start(settings(tmp_path))
    finally:
        journal.close()


def test_a_volume_that_cannot_be_written_to_is_named() -> None:
    # Nobody can make a file there, not even root.
    with pytest.raises(ConfigurationError, match=r"costs\.journal_path: /proc/nothing cannot be written to"):
        check_writable(Path("/proc/nothing"), "costs.journal_path")


def test_a_port_that_another_process_shares_by_so_reuseport_is_in_use_all_the_same() -> None:
    with socket.socket() as other:
        # As HAProxy binds it.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"{API_PORT}: port {port} of 127\.0\.0\.1 cannot be bound"):
            check_ports("127.0.0.1", {API_PORT: port})
    check_ports("127.0.0.1", {API_PORT: port})


def test_the_command_exits_with_2_and_the_reason(tmp_path: Path) -> None:
    content = document(tmp_path, backend={"url": "http://127.0.0.1:9/trpc"})
    file = tmp_path / "serve_config.yaml"
    file.write_text(yaml.safe_dump(content), "utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "RAYROOM_BACKEND_KEY"}
    command = [str(BIN / "rayroom"), "serve", str(file)]
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert "RAYROOM_BACKEND_KEY" in ended.stderr and "Traceback" not in ended.stderr


def test_an_app_that_does_not_get_ready_is_reported_with_its_last_answer() -> None:
    times = iter([0.0, 1.0, 121.0])
    with pytest.raises(DeployFailed, match=r"http://127\.0\.0\.1:9/readyz is not ready after 120 s: .*refused"):
        wait_until_ready("http://127.0.0.1:9/readyz", _Flag(), 120.0, lambda: next(times))


def test_a_signal_ends_the_wait_for_an_app_that_is_not_ready() -> None:
    stop = threading.Event()
    stop.set()
    wait_until_ready("http://127.0.0.1:9/readyz", stop)


class _Flag(threading.Event):
    """An event whose waits take no time."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()
