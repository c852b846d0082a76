"""Every process that a run starts ends with it; earlier processes stay."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import psutil
import pytest

from cluster.lab.stack.processes import Processes, StartFailed

SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]
LEAVES_ONE = (
    "import subprocess, sys;"
    "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], stdout=subprocess.DEVNULL,"
    " start_new_session=True).pid, flush=True)"
)


async def test_what_a_process_left_behind_ends_with_the_run_and_an_earlier_one_does_not(tmp_path: Path) -> None:
    earlier = await asyncio.create_subprocess_exec(*SLEEPS)
    try:
        async with Processes(tmp_path) as processes:
            started = await processes.start("sleeper", SLEEPS)
            leaver = await processes.start("leaver", [sys.executable, "-c", LEAVES_ONE], talks=True)
            assert leaver.stdout is not None
            orphan = psutil.Process(int(await leaver.stdout.readline()))
            await leaver.wait()
        assert started.returncode is not None and not orphan.is_running()
        assert earlier.returncode is None
    finally:
        earlier.kill()
        await earlier.wait()


async def test_a_process_that_ended_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        process = await processes.start("broken", [sys.executable, "-c", "raise SystemExit('no such port')"])
        await process.wait()
        with pytest.raises(StartFailed, match=r"broken ended with status 1:\nno such port"):
            processes.check()
