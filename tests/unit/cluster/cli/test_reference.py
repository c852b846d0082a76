"""docs/reference.md is the page that `rayroom reference` prints, and it names every variable that the code reads."""

from __future__ import annotations

import re
from pathlib import Path

from typer.main import get_command

from cluster.cli.main import app
from cluster.cli.reference.page import reference

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "reference.md").read_text("utf-8")
INTERNAL = {"RAYROOM_TRACK_SETTINGS_URL"}
"""Set by a process for its own children."""


def test_the_page_is_the_one_that_the_command_prints() -> None:
    assert reference(get_command(app)) == PAGE, "run `make reference`"


def test_every_variable_in_the_code_is_on_the_page() -> None:
    packages = ("cluster", "deployments", "room_agent", "routing")
    sources = [path.read_text("utf-8") for package in packages for path in (ROOT / package).rglob("*.py")]
    read = {name for source in sources for name in re.findall(r"\"(RAYROOM_[A-Z_]+)\"", source)}
    assert {name for name in read - INTERNAL if f"{name}" not in PAGE} == set()
