"""A system that does not start says why, to whoever reads nothing but the error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.acceptance.stack import running_stack

NODE = """#!/bin/sh
if [ "$1" = -p ]; then echo 22; exit; fi
echo "out of memory" >&2
exit 3
"""
"""One that says its version and runs nothing."""


def test_a_stack_that_does_not_start_tells_its_error_and_the_end_of_its_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = tmp_path / "node"
    node.write_text(NODE, "ascii")
    node.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(RuntimeError, match="the stack did not start, status 1") as failed, running_stack("app"):
        pass
    told = str(failed.value)
    assert "== the end of backend.log\nout of memory" in told and "The tRPC peer did not say its port." in told
