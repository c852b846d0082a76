"""Each control on the page about security names a test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "security.md"
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def rows() -> list[str]:
    lines = PAGE.read_text("utf-8").splitlines()
    return [line for line in lines if line.startswith("| ") and not line.startswith("| threat")]


def test_each_named_test_exists() -> None:
    missing = []
    for file, name in NAMED.findall(PAGE.read_text("utf-8")):
        path = TESTS / file
        tree = ast.parse(path.read_text("utf-8")) if path.exists() else ast.parse("")
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        if name not in functions:
            missing.append(f"{file}::{name}")
    assert missing == []


def test_each_control_names_a_test_or_says_that_it_has_none() -> None:
    untested = [row for row in rows() if not NAMED.search(row)]
    assert len(rows()) >= 25 and all("no test" in row for row in untested) and len(untested) == 1
