"""Sample every process below another one: its memory, open files, sockets and threads."""

from __future__ import annotations

import os
from collections import defaultdict

import psutil

from tests.soak.growth import ProcessSample


class SampledProcesses:
    """The samples of each process by its pid and time of creation, and its name."""

    def __init__(self, root: int) -> None:
        self._root = root
        self.samples: dict[tuple[int, float], list[ProcessSample]] = defaultdict(list)
        self.names: dict[tuple[int, float], str] = {}

    def sample(self, at_s: float) -> None:
        """Take one sample of each process that lives."""
        try:
            root = psutil.Process(self._root)
            processes = [root, *root.children(recursive=True)]
        except psutil.Error:
            return
        for process in processes:
            try:
                key = process.pid, process.create_time()
                sample = _sample(process, at_s)
                # Ray names its workers after they have begun.
                self.names[key] = name_of(process.cmdline())
            except (psutil.Error, OSError):
                continue
            self.samples[key].append(sample)


def _sample(process: psutil.Process, at_s: float) -> ProcessSample:
    descriptors = f"/proc/{process.pid}/fd"
    targets = []
    for name in os.listdir(descriptors):
        try:
            targets.append(os.readlink(f"{descriptors}/{name}"))
        except OSError:
            continue
    sockets = sum(target.startswith("socket:") for target in targets)
    return ProcessSample(
        at_s=at_s,
        memory_mb=process.memory_info().rss / 2**20,
        files=len(targets) - sockets,
        sockets=sockets,
        threads=process.num_threads(),
    )


def name_of(command: list[str]) -> str:
    """Return a short name of a command line: Ray's title, the module, or the program."""
    if not command:
        return "?"
    if command[0].startswith("ray::"):
        return command[0].split()[0]
    if "-c" in command[:-1]:
        code, *arguments = command[command.index("-c") + 1 :]
        return f"-c {arguments[0] if arguments else code[:28]}"
    if "-m" in command[:-1]:
        return command[command.index("-m") + 1]
    words = [os.path.basename(word) for word in command[:2]]
    return words[-1] if words[0].startswith("python") and len(words) > 1 else words[0]
