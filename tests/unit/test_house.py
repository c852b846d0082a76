"""The structure of the repository holds: imports, folders, class names and the English of its prose."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.support.prose import count_relatives

ROOT = Path(__file__).parents[2]
PACKAGES = ("routing", "deployments", "room_agent", "cluster")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
MARKDOWN = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*/*.md")])
RELATIVES_PER_THOUSAND = 3.0
FILES_A_FOLDER = 22


def test_imports_point_downward_only() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "9 kept, 0 broken" in result.stdout


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_begins_with_one_sentence(file: Path) -> None:
    docstring = ast.get_docstring(ast.parse(file.read_text("utf-8")))
    assert docstring and docstring.splitlines()[0].endswith((".", ":", "?"))


def test_a_public_class_name_is_defined_once() -> None:
    places = defaultdict(list)
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(file.relative_to(ROOT)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


@pytest.mark.parametrize("package", [*PACKAGES, "tests", "markdown"])
def test_sentences_name_the_thing_instead_of_a_bare_relative(package: str) -> None:
    files = {"tests": TESTS, "markdown": MARKDOWN}.get(package) or [
        f for f in FILES if f.is_relative_to(ROOT / package)
    ]
    counted = count_relatives(files)
    assert counted.words > 100
    assert counted.per_thousand <= RELATIVES_PER_THOUSAND, "\n".join(counted.relatives)


def test_a_bare_relative_is_counted_in_docstrings_comments_and_markdown(tmp_path: Path) -> None:
    code, page = tmp_path / "code.py", tmp_path / "page.md"
    code.write_text('"""Return what was found."""\nname = "what"  # whose name\n')
    page.write_text("Ask whoever runs it.\n\n    what stands in code is no prose\n")
    assert [one.rpartition(" ")[2] for one in count_relatives([code, page]).relatives] == ["whose", "what", "whoever"]


def test_no_folder_holds_more_files_than_a_reader_takes_in() -> None:
    folders = defaultdict(list)
    for file in FILES:
        folders[file.parent].append(file.name)
    assert {str(folder): len(names) for folder, names in folders.items() if len(names) > FILES_A_FOLDER} == {}


def test_the_cluster_package_has_no_loose_files_beside_app() -> None:
    assert {file.name for file in (ROOT / "cluster").glob("*.py")} == {"__init__.py", "app.py"}


def test_no_package_imports_anything_below_tests() -> None:
    for file, source in ((file, file.read_text("utf-8")) for file in FILES):
        # Parsing them all would take seconds; few name the folder at all.
        for node in ast.walk(ast.parse(source)) if "tests" in source else ():
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.partition(".")[0] == "tests"], file
