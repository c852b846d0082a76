"""Parses the Dockerfile, and replays the steps of a target that need no container engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

APP = "/app"
ROOT_ONLY = ("apt-get", "useradd", "pip install")
"""Steps that change the image's system; the replay uses this machine's."""
RUN_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, its continued lines joined."""

    name: str
    value: str

    def words(self) -> list[str]:
        """Return the words of a JSON list, or of a line."""
        return json.loads(self.value) if self.value.startswith("[") else self.value.split()


@dataclass
class Stage:
    """A stage: the image or the stage that it is based on, and its instructions."""

    name: str
    base: str
    instructions: list[Instruction] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """The arguments before the first stage, and the stages by their names."""

    arguments: dict[str, str]
    stages: dict[str, Stage]

    def chain(self, target: str) -> list[Stage]:
        """Return the stages that a target consists of, the lowest first."""
        stage = self.stages[target]
        return [*(self.chain(stage.base) if stage.base in self.stages else []), stage]

    def instructions(self, target: str, *names: str) -> list[Instruction]:
        """Return the target's instructions with these names, its bases' first."""
        return [one for stage in self.chain(target) for one in stage.instructions if one.name in names]

    def environment(self, target: str) -> dict[str, str]:
        assigned = [pair for one in self.instructions(target, "ENV", "ARG") for pair in assignments(one.value)]
        return dict(assigned)


def assignments(text: str) -> list[tuple[str, str]]:
    return [(name, value.strip('"')) for name, value in re.findall(r'(\w+)=("[^"]*"|\S+)', text)]


def parse(text: str) -> Dockerfile:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        name, _, value = line.partition(" ")
        if name == "FROM":
            base, _, alias = value.partition(" AS ")
            stages[alias] = Stage(name=alias, base=base)
        elif stages:
            list(stages.values())[-1].instructions.append(Instruction(name, value.strip()))
        else:
            arguments.update(assignments(value))
    return Dockerfile(arguments, stages)


class Replay:
    """Replays targets below a directory: /app of each chain of stages is a directory there."""

    def __init__(self, dockerfile: Dockerfile, context: Path, root: Path) -> None:
        self._dockerfile = dockerfile
        self._context = context
        self._root = root

    def run(self, target: str) -> Path:
        """Run the steps of a target, and of the targets that it copies from; return its /app."""
        app = self._root / target
        app.mkdir()
        environment = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        # The packages are in uv's cache already; a copy and the compilation would take a minute.
        fast = {"UV_LINK_MODE": "hardlink", "UV_COMPILE_BYTECODE": "0"}
        inherited = {name: os.environ[name] for name in os.environ if name.startswith(("UV_", "HOME", "SSL_", "PIP_"))}
        named = {name: value for name, value in self._dockerfile.environment(target).items() if name != "PATH"}
        environment |= inherited | named | fast
        for one in self._dockerfile.instructions(target, "COPY", "RUN"):
            self._copy(one, app) if one.name == "COPY" else self._run(one, app, environment)
        return app

    def _copy(self, one: Instruction, app: Path) -> None:
        *sources, destination = [word for word in one.words() if not word.startswith("--")]
        stage = re.search(r"--from=(\S+)", one.value)
        for source in sources:
            if stage is not None:
                built = self.run(stage[1]) / Path(source).relative_to(APP)
                # A virtual environment works at its own path only.
                (app / destination).symlink_to(built)
            else:
                path = self._context / source
                target = app / (Path(destination) / path.name if destination.endswith("/") else destination)
                shutil.copytree(path, target) if path.is_dir() else shutil.copy(path, target)

    def _run(self, one: Instruction, app: Path, environment: Mapping[str, str]) -> None:
        if any(word in one.value for word in ROOT_ONLY):
            return
        command = re.sub(r" && chown .*", "", one.value)
        ended = subprocess.run(
            ["sh", "-ec", command], cwd=app, env=environment, capture_output=True, text=True, timeout=RUN_TIMEOUT_S
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
