"""Run openai-python's own tests of chat completions, embeddings and models against a target."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from tests.compat.commands import INSTALL_TIMEOUT_S, ROOT, SHOWN_CHARS, CommandFailed, output_of
from tests.compat.targets import Target

PLUGIN_DIRECTORY = Path(__file__).parent / "openai_suite"
FILES = ("chat/test_completions.py", "test_embeddings.py", "test_models.py")
SOME_FAILED = 1
"""pytest's exit status when some tests failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteReport:
    """The number of tests that passed, and the name and error of each that failed."""

    target: str
    passed: int
    failures: dict[str, str]


def unpacked() -> Path:
    """Return the directory of the sources of the installed openai, tests included; download them if missing.

    Raises CommandFailed.
    """
    directory = ROOT / ".tools" / f"openai-sources-{version('openai')}"
    stamp = directory / "unpacked"
    directory.mkdir(parents=True, exist_ok=True)
    with FileLock(directory.parent / "lock"):
        if not stamp.exists():
            _download(directory)
            (archive,) = directory.glob("openai-*.tar.gz")
            with tarfile.open(archive) as sources:
                sources.extractall(directory, filter="data")
            stamp.touch()
    return directory / f"openai-{version('openai')}"


def _download(directory: Path) -> None:
    options = ["--no-deps", "--no-binary", "openai", "--dest", str(directory)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", *options, f"openai=={version('openai')}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    if result.returncode != 0:
        raise CommandFailed(f"pip failed:\n{result.stderr[-SHOWN_CHARS:]}")


async def suite_report(target: Target, sources: Path) -> SuiteReport:
    """Run the tests of the routes that exist here; raises CommandFailed."""
    names = {"COMPAT_CHAT_MODEL": target.model, "COMPAT_EMBEDDINGS_MODEL": "auto"}
    paths = {"TEST_API_BASE_URL": target.base_url, "PYTHONPATH": str(PLUGIN_DIRECTORY)}
    with tempfile.TemporaryDirectory(prefix="openai-suite-") as directory:
        report = Path(directory) / "report.xml"
        # Their own options need plugins that are not installed here.
        options = ["-p", "mapped_names", "-o", "addopts=", "-q", "-W", "ignore", f"--junitxml={report}"]
        files = [f"tests/api_resources/{name}" for name in FILES]
        command = [sys.executable, "-m", "pytest", *options, *files]
        await output_of(command, target.environment() | names | paths, statuses=(0, SOME_FAILED), cwd=sources)
        return _parsed(target, await asyncio.to_thread(report.read_text, "utf-8"))


def _parsed(target: Target, report: str) -> SuiteReport:
    cases = list(ElementTree.fromstring(report).iter("testcase"))
    failures = {}
    for case in cases:
        failure = case.find("failure") if case.find("failure") is not None else case.find("error")
        if failure is not None:
            failures[f"{case.get('classname', '').rpartition('.')[2]}.{case.get('name')}"] = failure.get("message", "")
    return SuiteReport(target=target.name, passed=len(cases) - len(failures), failures=failures)
