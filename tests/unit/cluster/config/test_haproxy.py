"""The HAProxy that Serve starts keeps its status pages to itself and answers errors as the app does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ray.serve._private.haproxy_templates import HAPROXY_CONFIG_TEMPLATE

from cluster.config.haproxy import corrected, error_response

ROOT = Path(__file__).parents[4]
RENDERED = re.sub(r"{{ config\.(\w+_port) }}", "9101", HAPROXY_CONFIG_TEMPLATE)


def test_the_status_pages_of_rays_own_configuration_are_bound_to_loopback() -> None:
    config = corrected(RENDERED, Path("errors"))
    pages = re.findall(r"(?:frontend prometheus|listen stats)\n\s+bind (\S+)", config)
    assert pages == ["127.0.0.1:9101", "127.0.0.1:9101"]
    # The API's own bind line is the configuration's.
    assert "bind {{ config.frontend_host }}:" in config


def test_each_error_of_haproxys_own_has_its_file() -> None:
    config = corrected("  errorfile 502 a/500.http\n  errorfile 503 a/500.http\n", Path("errors"))
    assert config == "  errorfile 502 errors/502.http\n  errorfile 503 errors/503.http\n"


@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_error_of_haproxys_own_wears_the_envelope(status: int) -> None:
    head, _, body = error_response(status).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status) and b"content-length: %d" % len(body) in head
    assert set(json.loads(body)["error"]) == {"message", "type", "code", "param"}


def test_the_image_binds_all_interfaces_with_the_shipped_configuration() -> None:
    command = re.search(r"sed -i 's/(.+)/(.+)/' serve_config.yaml", (ROOT / "Dockerfile").read_text())
    assert command is not None
    lines = (ROOT / "serve_config.yaml").read_text()
    assert re.subn(command[1], command[2], lines, flags=re.MULTILINE)[1] == 1
