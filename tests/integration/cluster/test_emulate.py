"""`rayroom emulate` as a separate process: it prints its URLs, serves them, and ends on a signal."""

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

from cluster.cli.main import main
from cluster.lab.emulator.engines.tts import SpeechEngine

ROOT = Path(__file__).parents[3]
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "one two"}]}
VENDORS = ["openai", "anthropic", "gemini", "voyage", "deepgram", "elevenlabs"]


def start_emulator(*options: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from cluster.cli.main import main; main()", "emulate", *options]
    pipe, env = subprocess.PIPE, {**os.environ, **environment}
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=pipe, stderr=pipe, text=True)


@contextmanager
def running_emulator(*options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    with start_emulator("--port", "0", "--speed", "0", *options) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().split() for _ in VENDORS]
            yield process, {line[0]: line[-1] for line in lines if line}
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_the_url_of_each_vendor_and_ends_on_a_signal(number: signal.Signals) -> None:
    with running_emulator() as (process, urls):
        answer = httpx.post(f"{urls['openai']}/chat/completions", json=CHAT, headers={"Authorization": "Bearer k"})
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
    assert list(urls) == VENDORS and answer.json()["usage"]["prompt_tokens"] == 2


def test_the_options_set_its_limits() -> None:
    with running_emulator("--requests-per-minute", "1", "--answer-tokens", "9") as (_, urls):
        first, second = [
            httpx.post(f"{urls['openai']}/chat/completions", json=CHAT, headers={"Authorization": "Bearer k"})
            for _ in range(2)
        ]
    assert (first.status_code, second.status_code) == (200, 429)
    assert first.json()["usage"]["completion_tokens"] == 9 and float(second.headers["retry-after"]) > 50


def test_an_occupied_port_is_reported_without_a_traceback() -> None:
    with running_emulator() as (_, urls):
        port = httpx.URL(urls["openai"]).port
        with start_emulator("--port", str(port)) as second:
            output, errors = second.communicate(timeout=20)
    assert second.returncode == 2 and "cannot listen" in errors and "Traceback" not in errors and output == ""


def test_with_senses_it_recognises_a_phrase_of_the_file(tmp_path: Path) -> None:
    phrases = tmp_path / "phrases.txt"
    phrases.write_text("What number is on the slide?\n\nStop please, that is enough.\n")
    speech = SpeechEngine().speak("Stop please, that is enough.", 16_000)
    parameters = {"model": "nova-3", "encoding": "linear16", "sample_rate": "16000", "punctuate": "true"}
    with running_emulator("--senses", str(phrases)) as (_, urls):
        answer = httpx.post(
            f"{urls['deepgram']}/v1/listen",
            params=parameters,
            content=speech,
            headers={"Authorization": "Token k"},
            timeout=20,
        )
    (alternative,) = answer.json()["results"]["channels"][0]["alternatives"]
    assert alternative["transcript"] == "Stop please, that is enough."


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read: No such file"), (b"\xff\xfe", "not UTF-8"), (b" \n", "no phrase"), (b"Xyzzq?\n", "xyzzq")],
)
def test_an_unusable_file_of_phrases_is_reported_without_a_traceback(
    tmp_path: Path,
    content: bytes | None,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if content is not None:
        (tmp_path / "phrases.txt").write_bytes(content)
    monkeypatch.setattr("sys.argv", ["rayroom", "emulate", "--port", "0", "--senses", str(tmp_path / "phrases.txt")])
    with pytest.raises(SystemExit) as ended:
        main()
    output, errors = capsys.readouterr()
    assert ended.value.code == 2 and message in errors and "Traceback" not in errors and output == ""


def test_senses_without_their_packages_name_the_extra(tmp_path: Path) -> None:
    (tmp_path / "phrases.txt").write_text("Stop please.\n")
    # This module shadows the installed package and fails to import.
    (tmp_path / "rapidocr_onnxruntime.py").write_text("raise ImportError\n")
    with start_emulator("--senses", str(tmp_path / "phrases.txt"), PYTHONPATH=str(tmp_path)) as process:
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 2 and "need the extra `senses`" in errors and output == ""
