"""Run other people's clients, each in an environment of its own, against a target."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.compat.commands import installed, output_of
from tests.compat.targets import Target

DIRECTORY = Path(__file__).parent / "clients"
NODE_DIRECTORY = DIRECTORY / "node"
PYTHON = {
    "langchain_client.py": "langchain-openai==1.7.4",
    "pydantic_ai_client.py": "pydantic-ai-slim[openai]==2.68.0",
    "openai_agents_client.py": "openai-agents==0.24.0",
}
"""The script of each Python client and its requirement: the newest versions on 2026-11-30."""
NODE = ("openai_client.js", "ai_sdk_client.js")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientReport:
    """The outcome of each check of one client: `ok`, or an error."""

    target: str
    client: str
    version: str
    outcomes: dict[str, str]

    @property
    def passed(self) -> bool:
        return all(outcome == "ok" for outcome in self.outcomes.values())


def install_clients() -> dict[str, Path]:
    """Return the Python of each Python client; raises CommandFailed."""
    return {script: installed(requirement) for script, requirement in PYTHON.items()}


async def client_reports(target: Target, pythons: dict[str, Path]) -> list[ClientReport]:
    """Run the clients one after the other; raises CommandFailed."""
    commands = {script: [str(python), str(DIRECTORY / script)] for script, python in pythons.items()}
    commands |= {script: ["node", str(NODE_DIRECTORY / script)] for script in NODE}
    return [await _report(target, script, command) for script, command in commands.items()]


async def _report(target: Target, script: str, command: list[str]) -> ClientReport:
    printed = await output_of(command, target.environment())
    # Some clients print notices of their own before the report.
    document = json.loads(printed.strip().splitlines()[-1])
    client = Path(script).stem.removesuffix("_client").replace("_", "-") + (", Node" if script in NODE else "")
    return ClientReport(target=target.name, client=client, version=document["version"], outcomes=document["outcomes"])
