"""`rayroom emulate` as a process of its own: it says where it is, answers there, and ends when told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from cluster.lab.emulator.engines.tts import SpeechEngine

ROOT = Path(__file__).parents[3]
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "one two"}]}
VENDORS = ["openai", "anthropic", "gemini", "voyage", "deepgram", "elevenlabs"]


def start(*options: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from cluster.cli.main import main; main()", "emulate", *options]
    pipe, whole = subprocess.PIPE, {**os.environ, **environment}
    return subprocess.Popen(command, cwd=ROOT, env=whole, stdout=pipe, stderr=pipe, text=True)


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


def test_with_senses_it_hears_which_of_the_files_phrases_was_said(tmp_path: Path) -> None:
    phrases = tmp_path / "phrases.txt"
    phrases.write_text("What number is on the slide?\n\nStop please, that is enough.\n")
    said = SpeechEngine().speak("Stop please, that is enough.", 16_000)
    sound = {"model": "nova-3", "encoding": "linear16", "sample_rate": "16000", "punctuate": "true"}
    with emulating("--senses", str(phrases)) as (_, urls):
        answer = httpx.post(
            f"{urls['deepgram']}/v1/listen",
            params=sound,
            content=said,
            headers={"Authorization": "Token k"},
            timeout=20,
        )
    (heard,) = answer.json()["results"]["channels"][0]["alternatives"]
    assert heard["transcript"] == "Stop please, that is enough."


@pytest.mark.parametrize(
    ("content", "wrong"),
    [(None, "cannot be read: No such file"), (b"\xff\xfe", "not UTF-8"), (b" \n", "no phrase"), (b"Xyzzq?\n", "xyzzq")],
)
def test_a_file_of_phrases_that_will_not_do_is_said_and_no_traceback(
    tmp_path: Path, content: bytes | None, wrong: str
) -> None:
    if content is not None:
        (tmp_path / "phrases.txt").write_bytes(content)
    with start("--port", "0", "--senses", str(tmp_path / "phrases.txt")) as process:
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 2 and wrong in errors and "Traceback" not in errors and output == ""


def test_senses_whose_packages_are_missing_name_the_extra(tmp_path: Path) -> None:
    (tmp_path / "phrases.txt").write_text("Stop please.\n")
    # It is found first, and is as good as not there.
    (tmp_path / "rapidocr_onnxruntime.py").write_text("raise ImportError\n")
    with start("--senses", str(tmp_path / "phrases.txt"), PYTHONPATH=str(tmp_path)) as process:
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 2 and "need the extra `senses`" in errors and output == ""
