"""The demo's room with speech: emulated vendors, a speaker, and the counted questions and answers."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from typing import Any

import httpx

from cluster.lab.emulator.server import BASE_PATHS
from cluster.lab.stack import startup
from cluster.lab.stack.plan import VOICE_ROOM, VOICE_TENANT, Plan
from cluster.lab.stack.processes import Processes
from routing.errors import RayroomError

QUESTIONS = (
    "What is the plan for the next quarter?",
    "Who owns the budget for it?",
    "When does support read the changes?",
    "What are the open questions and risks?",
)
MIN_QUESTION_INTERVAL_S = 2.0
"""The shortest time between two questions, so that the emulator is configured with enough phrases."""
EMULATOR_TIMEOUT_S = 10.0
_EMULATE_COMMAND = [sys.executable, "-c", "from cluster.cli.main import main; main()", "emulate"]


class EmulatorFailed(RayroomError):
    """The vendor emulator did not accept a request of the demo."""

    code = "emulator_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """The questions, transcripts and answers of the room; None is unknown, never zero."""

    questions_asked: int
    questions_heard: int
    answers_spoken: int
    answers_heard: int
    """Counted by the speaker."""
    voice_heard_ms: int
    interruptions: int
    first_word_p50_ms: float | None
    first_sound_p50_ms: float | None

    def as_json(self) -> dict[str, Any]:
        return {"room": VOICE_ROOM, **asdict(self)}


async def start_emulator(plan: Plan, processes: Processes, seconds: float) -> None:
    """Start the emulator and configure enough phrases for `seconds`."""
    await processes.start("emulator", [*_EMULATE_COMMAND, "--port", str(plan.emulator_port)])
    await startup.wait_until(lambda: startup.listens(plan.emulator_port), processes, "the vendors' emulator")
    phrases = list(islice(cycle(QUESTIONS), 1 + int(seconds / MIN_QUESTION_INTERVAL_S)))
    await _request("POST", f"{plan.emulator_url}/_emulator/phrases", json={"phrases": phrases})


def agent_environment(plan: Plan) -> dict[str, str]:
    """Return the environment that makes an agent use the emulator for speech."""
    return {
        "RAYROOM_VOICE": "on",
        "RAYROOM_STT_MODELS": "nova-3",
        # The emulator's request log does not say which requests had key terms, so the bills would differ by name.
        "RAYROOM_KEYTERMS": "off",
        "RAYROOM_TTS_MODELS": "eleven_flash_v2_5",
        "DEEPGRAM_API_KEY": "emulated",
        "DEEPGRAM_BASE_URL": plan.emulator_url + BASE_PATHS["deepgram"],
        "ELEVEN_API_KEY": "emulated",
        "ELEVEN_BASE_URL": plan.emulator_url + BASE_PATHS["elevenlabs"],
    }


async def emulator_journal(plan: Plan) -> list[dict[str, Any]]:
    """Return the emulator's request log, one entry per request."""
    requests: list[dict[str, Any]] = (await _request("GET", f"{plan.emulator_url}/_emulator/journal")).json()["seen"]
    return requests


async def _request(method: str, url: str, **body: Any) -> httpx.Response:
    """Return the emulator's response; raises EmulatorFailed."""
    try:
        async with httpx.AsyncClient(timeout=EMULATOR_TIMEOUT_S) as http:
            return (await http.request(method, url, **body)).raise_for_status()
    except httpx.HTTPStatusError as error:
        raise EmulatorFailed(f"The vendors' emulator answered {error.response.status_code}.") from None
    except httpx.HTTPError as error:
        raise EmulatorFailed(f"The vendors' emulator did not answer: {type(error).__name__}.") from None


async def read_speaker_counts(speaker: asyncio.subprocess.Process) -> dict[str, int]:
    """Return the counts of a finished speaker; an empty mapping if it printed none."""
    assert speaker.stdout is not None
    async with asyncio.timeout(EMULATOR_TIMEOUT_S):
        lines = (await speaker.stdout.read()).splitlines()
    message = json.loads(lines[-1]) if lines else {}
    counts: dict[str, int] = message.get("rooms", {}).get(VOICE_ROOM, {})
    return counts


def conversation(usages: Mapping[str, Mapping[str, Any]], speaker_counts: Mapping[str, int]) -> Conversation:
    """Combine the agent's counters, from the app's last sample, with those of the speaker."""
    rooms = usages.get(VOICE_TENANT, {}).get("rooms", [])
    counters: Mapping[str, float] = next((room["counters"] for room in rooms if room["room"] == VOICE_ROOM), {})
    return Conversation(
        questions_asked=speaker_counts.get("asked", 0),
        questions_heard=int(counters.get("hearing_utterances", 0)),
        answers_spoken=int(counters.get("voice_answers", 0)),
        answers_heard=speaker_counts.get("answered", 0),
        voice_heard_ms=speaker_counts.get("heard_ms", 0),
        interruptions=int(counters.get("voice_interruptions", 0)),
        first_word_p50_ms=counters.get("voice_first_word_p50_ms"),
        first_sound_p50_ms=counters.get("voice_first_sound_p50_ms"),
    )
