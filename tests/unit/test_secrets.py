"""No file of the repository holds a secret: the scan that needs no network."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHAPES = {
    "OpenAI or Anthropic": r"sk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}",
    "Google": r"AIza[0-9A-Za-z_-]{35}",
    "AWS": r"(?:AKIA|ASIA)[0-9A-Z]{16}",
    "GitHub": r"(?:gh[opsu]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40,})",
    "Slack": r"xox[abprs]-[A-Za-z0-9-]{20,}",
    "Voyage": r"(?<![\w-])pa-[A-Za-z0-9_-]{40,}",
    "Hugging Face": r"hf_[A-Za-z0-9]{34}",
    "PyPI": r"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{30,}",
    "a private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----",
    "a signed token": r"eyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{20,}",
    "a password in an address": r"://[^\s/:@{}$<>\"'*]{3,}:[^\s/:@{}$<>\"'*]{12,}@(?!127\.0\.0\.1|localhost)",
    "a key that is written out": r"(?i:api[_-]?key|secret|token|password)[\"']?\s*[:=]\s*[\"']?[0-9a-f]{40,}",
}
PATTERN = re.compile("|".join(f"(?P<k{number}>{shape})" for number, shape in enumerate(SHAPES.values())))
MAX_BYTES = 1_000_000
EXAMPLES = [
    "sk-" + "a1B2" * 10,
    "AIza" + "x" * 35,
    "AKIA" + "ABCD" * 4,
    "ghp_" + "a" * 36,
    "-----BEGIN " + "PRIVATE KEY-----",
    ".".join(("eyJ" + "h" * 20, "eyJ" + "p" * 20, "s" * 30)),
    "postgres://admin:" + "a-long-password" + "@db.example.com/x",
    "api_key = '" + "0f" * 24 + "'",
]


def found(text: str) -> list[str]:
    """Return the kinds of secrets in a text, without the secrets."""
    return [list(SHAPES)[int(str(match.lastgroup)[1:])] for match in PATTERN.finditer(text)]


def files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_no_file_of_the_repository_holds_a_secret() -> None:
    secrets = {}
    for path in files():
        if path.is_file() and path.stat().st_size <= MAX_BYTES and path.suffix not in (".png", ".lock"):
            kinds = found(path.read_text("utf-8", errors="ignore"))
            if kinds:
                secrets[str(path.relative_to(ROOT))] = kinds
    assert secrets == {}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text[:8])
def test_the_scan_finds_a_planted_secret(example: str) -> None:
    assert found(f"before {example} after")
