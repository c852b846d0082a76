"""Fuzz one target with atheris for some seconds: coverage decides which inputs are changed further.

It runs in a process of its own, with atheris on its path: libFuzzer ends the process.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Run the target of the first argument with libFuzzer's options and corpus from the others."""
    import atheris

    with atheris.instrument_imports(include=["cluster", "deployments", "routing"]):
        from tests.fuzz.seeds import seeds
        from tests.fuzz.targets import TARGETS
    name, corpus, *options = sys.argv[1:]
    directory = Path(corpus)
    directory.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()[name]):
        (directory / f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], str(directory), *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
