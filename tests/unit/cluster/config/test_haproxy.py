"""The HAProxy that Serve starts keeps its status pages to itself and answers errors as the app does."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
from ray.serve._private.haproxy_templates import HAPROXY_CONFIG_TEMPLATE

from cluster.config import haproxy
from cluster.config.haproxy import corrected, error_response

ROOT = Path(__file__).parents[4]
RENDERED = re.sub(r"{{ config\.(\w+_port) }}", "9101", HAPROXY_CONFIG_TEMPLATE)


def test_the_status_pages_of_rays_own_configuration_are_bound_to_loopback() -> None:
    config = corrected(RENDERED, Path("errors"))
    pages = re.findall(r"(?:frontend prometheus|listen stats)\n\s+bind (\S+)", config)
    assert pages == ["127.0.0.1:9101", "127.0.0.1:9101"]
    # The API's own bind line is the configuration's.
    assert "bind {{ config.frontend_host }}:" in config


def test_a_haproxy_that_knows_no_application_yet_answers_503_in_the_envelope() -> None:
    config = corrected(RENDERED, Path("errors"))
    assert "status 404 content-type text/plain" in RENDERED and "status 404 content-type text/plain" not in config
    assert "backend default_backend\n    http-request deny deny_status 503\n" in config


def test_each_error_of_haproxys_own_has_its_file() -> None:
    config = corrected("  errorfile 502 a/500.http\n  errorfile 503 a/500.http\n", Path("errors"))
    assert config == "  errorfile 502 errors/502.http\n  errorfile 503 errors/503.http\n"


@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_error_of_haproxys_own_wears_the_envelope(status: int) -> None:
    head, _, body = error_response(status).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status) and b"content-length: %d" % len(body) in head
    assert set(json.loads(body)["error"]) == {"message", "type", "code", "param"}


def test_the_program_becomes_the_packages_haproxy_and_not_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[str, list[str]]] = []
    file = tmp_path / "haproxy.cfg"
    file.write_text("listen stats\n  bind *:8404\n")
    monkeypatch.setenv("RAY_SERVE_HAPROXY_BINARY_PATH", sys.executable)
    monkeypatch.setattr(sys, "argv", ["rayroom-haproxy", "-db", "-f", str(file)])
    monkeypatch.setattr(os, "execv", lambda binary, arguments: started.append((binary, arguments)))
    haproxy.main()
    ((binary, arguments),) = started
    assert Path(binary).name == "haproxy" and arguments == [binary, "-db", "-f", str(file)]
    assert file.read_text() == "listen stats\n  bind 127.0.0.1:8404\n" and (tmp_path / "503.http").exists()


def test_the_image_binds_all_interfaces_with_the_shipped_configuration() -> None:
    command = re.search(r"sed -i 's/(.+)/(.+)/' serve_config.yaml", (ROOT / "Dockerfile").read_text())
    assert command is not None
    lines = (ROOT / "serve_config.yaml").read_text()
    assert re.subn(command[1], command[2], lines, flags=re.MULTILINE)[1] == 1
