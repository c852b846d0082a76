"""Every process that a run starts ends with it; earlier processes continue."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import psutil
import pytest

from cluster.lab.stack.processes import Processes, StartFailed

SLEEP_COMMAND = [sys.executable, "-c", "import time; time.sleep(600)"]
ORPHAN_PROGRAM = (
    "import subprocess, sys;"
    "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], stdout=subprocess.DEVNULL,"
    " start_new_session=True).pid, flush=True)"
)


async def test_orphans_of_a_run_end_with_it_and_earlier_processes_continue(tmp_path: Path) -> None:
    earlier = await asyncio.create_subprocess_exec(*SLEEP_COMMAND)
    try:
        async with Processes(tmp_path) as processes:
            started = await processes.start("sleeper", SLEEP_COMMAND)
            parent = await processes.start("leaver", [sys.executable, "-c", ORPHAN_PROGRAM], piped=True)
            assert parent.stdout is not None
            orphan = psutil.Process(int(await parent.stdout.readline()))
            await parent.wait()
        assert started.returncode is not None and not orphan.is_running()
        assert earlier.returncode is None
    finally:
        earlier.kill()
        await earlier.wait()


async def test_a_process_that_ended_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        process = await processes.start("broken", [sys.executable, "-c", "raise SystemExit('no such port')"])
        await process.wait()
        with pytest.raises(StartFailed, match=r"broken ended with status 1:\nno such port"):
            processes.check()
