"""Check which pauses become longer by the judgement of a model."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from room_agent.audio.end_of_turn import JUDGED_SILENCE_S, LONGEST_PAUSE_S, TurnJudge, extra_wait_s
from room_agent.audio.pcm import SILENCE
from room_agent.audio.transcripts import SttCounters
from tests.support.scripted_turn_model import ScriptedTurnModel


@pytest.mark.parametrize(
    ("probability", "threshold", "silent_s", "wait_s"),
    [
        (0.2, 0.36, 0.4, LONGEST_PAUSE_S - 0.4),
        (0.2, 0.36, LONGEST_PAUSE_S + 1, 0.0),
        (0.36, 0.36, 0.4, 0.0),
        (0.9, 0.36, 0.4, 0.0),
        (None, 0.36, 0.4, 0.0),
        (0.2, None, 0.4, 0.0),
    ],
)
def test_an_utterance_waits_up_to_the_longest_pause_only_while_its_speaker_seems_to_go_on(
    probability: float | None, threshold: float | None, silent_s: float, wait_s: float
) -> None:
    assert extra_wait_s(probability, threshold, silent_s) == pytest.approx(wait_s)


async def test_a_speaker_who_seems_to_go_on_has_the_rest_of_the_longest_pause() -> None:
    model, counters = ScriptedTurnModel([0.1]), SttCounters()
    judge = TurnJudge(model, counters, lambda: 100.0)
    judge.push(SILENCE, JUDGED_SILENCE_S)
    holding = asyncio.create_task(judge.hold(100.0 - 0.4, "de"))
    await asyncio.wait({holding}, timeout=0.05)
    assert not holding.done() and (counters.pauses_judged, counters.pauses_extended) == (1, 1)
    assert model.languages == ["de"]
    holding.cancel()


async def test_a_pause_is_judged_once_and_the_judgement_of_an_earlier_pause_does_not_count() -> None:
    counters = SttCounters()
    judge = TurnJudge(ScriptedTurnModel([0.1, 0.9]), counters, lambda: 0.4)
    for silent_s in (0.1, JUDGED_SILENCE_S, JUDGED_SILENCE_S + 0.03, 0.0, JUDGED_SILENCE_S):
        judge.push(SILENCE, silent_s)
        await asyncio.sleep(0)
    async with asyncio.timeout(LONGEST_PAUSE_S / 2):
        await judge.hold(0.0, "")
    assert (counters.pauses_judged, counters.pauses_extended) == (2, 0)


async def test_a_model_that_is_late_or_fails_leaves_the_end_to_the_pause_and_is_logged_once() -> None:
    model, counters = ScriptedTurnModel([None, RuntimeError("no memory"), None]), SttCounters()
    judge = TurnJudge(model, counters, lambda: 0.4)
    with capture_logs() as logs:
        for _ in range(3):
            judge.judge()
            async with asyncio.timeout(LONGEST_PAUSE_S / 2):
                await judge.hold(0.0, "")
    assert [one["event"] for one in logs] == ["pause not judged"] and "no memory" not in str(logs)
    assert (counters.pauses_judged, counters.pauses_unjudged, counters.pauses_extended) == (3, 3, 0)


async def test_without_a_model_nothing_is_judged() -> None:
    counters = SttCounters()
    judge = TurnJudge(None, counters, lambda: 0.4)
    judge.push(SILENCE, JUDGED_SILENCE_S)
    judge.judge()
    await judge.hold(0.0, "")
    await judge.aclose()
    assert counters == SttCounters()
