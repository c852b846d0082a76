"""`rayroom emulate` as a process of its own: it says where it is, answers there, and ends when told to."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "one two"}]}
VENDORS = ["openai", "anthropic", "gemini", "voyage", "deepgram", "elevenlabs"]


def start(*options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from cluster.cli import main; main()", "emulate", *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def emulating(*options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    with start("--port", "0", "--speed", "0", *options) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().split() for _ in VENDORS]
            yield process, {line[0]: line[-1] for line in lines if line}
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_each_vendor_is_and_ends_at_a_signal(number: signal.Signals) -> None:
    with emulating() as (process, urls):
        answer = httpx.post(f"{urls['openai']}/chat/completions", json=CHAT, headers={"Authorization": "Bearer k"})
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
    assert list(urls) == VENDORS and answer.json()["usage"]["prompt_tokens"] == 2


def test_its_limits_are_those_of_the_command() -> None:
    with emulating("--requests-per-minute", "1", "--answer-tokens", "9") as (_, urls):
        first, second = [
            httpx.post(f"{urls['openai']}/chat/completions", json=CHAT, headers={"Authorization": "Bearer k"})
            for _ in range(2)
        ]
    assert (first.status_code, second.status_code) == (200, 429)
    assert first.json()["usage"]["completion_tokens"] == 9 and float(second.headers["retry-after"]) > 50


def test_a_port_that_is_taken_is_said_and_no_traceback() -> None:
    with emulating() as (_, urls):
        port = httpx.URL(urls["openai"]).port
        with start("--port", str(port)) as second:
            output, errors = second.communicate(timeout=20)
    assert second.returncode == 2 and "cannot listen" in errors and "Traceback" not in errors and output == ""
