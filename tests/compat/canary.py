"""Run compatcanary's probes against a target."""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.compat.commands import output_of
from tests.compat.targets import Target

DIRECTORY = Path(__file__).parent / "compatcanary"
LEAST = {"chat": 100, "modern": 80}
"""The least score of each profile. Published by compatcanary: LiteLLM 1.91 100 and 65, vLLM 0.19 100 and 100."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The score of one profile, and the probes that did not pass."""

    target: str
    profile: str
    score: int
    findings: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return self.score >= LEAST[self.profile]


async def scores(target: Target) -> list[Score]:
    """Return the score of each profile; raises CommandFailed."""
    return [await _score(target, profile) for profile in LEAST]


async def _score(target: Target, profile: str) -> Score:
    program = DIRECTORY / "node_modules" / ".bin" / "compatcanary"
    with tempfile.TemporaryDirectory(prefix="compatcanary-") as directory:
        report = Path(directory) / "report.json"
        options = ["--profile", profile, "--format", "json", "--output", str(report), "--fail-on", "never"]
        # The base URL and the model are read from the environment, as the key is, which belongs in no argument.
        await output_of([str(program), "scan", *options], target.environment())
        document = json.loads(await asyncio.to_thread(report.read_text, "utf-8"))
    findings = (row for row in document["results"] if row["status"] != "pass")
    return Score(
        target=target.name,
        profile=profile,
        score=document["score"],
        findings=tuple(f"{row['id']}: {row['status']}, {row['summary']}" for row in findings),
    )
