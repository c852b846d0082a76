"""Waits after the end of speech until the transcript of the utterance is complete, or will not get any longer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from room_agent.audio.stt_stream import SttStream
from room_agent.audio.utterance import UtteranceStream

UNFINISHED_S = 0.5
"""The extra wait for an utterance that does not end like a sentence: the speaker may go on."""
FINAL_TIMEOUT_S = 0.4
FIRST_FINAL_TIMEOUT_S = 1.5
"""The time for a service to send the rest of a transcript; longer while it has not sent a final one."""
FAIL_OVER_POLL_S = 0.02
MAX_WAIT_S = 10.0
"""The limit for one utterance, across all services."""


async def final_text(utterance: UtteranceStream, on_transcript: Callable[[], None], clock: Callable[[], float]) -> str:
    """Return the utterance's transcript once it is complete, or all there is after the time limits.

    `on_transcript` is called for each message of the service. Cancel this when the speaker goes on.
    """
    try:
        async with asyncio.timeout(MAX_WAIT_S):
            text = await _complete_text(utterance, on_transcript, clock)
    except TimeoutError:
        text = utterance.stream.text if utterance.stream is not None else ""
    if text and not text.endswith((".", "?", "!")):
        await asyncio.sleep(UNFINISHED_S)
        text = utterance.text or text
    return text


async def _complete_text(
    utterance: UtteranceStream, on_transcript: Callable[[], None], clock: Callable[[], float]
) -> str:
    waited_on: SttStream | None = None
    end_s = 0.0
    while (stream := utterance.stream) is not None and not stream.is_complete:
        if stream.has_failed:
            # The next service takes over within some turns of the loop.
            await asyncio.sleep(FAIL_OVER_POLL_S)
            continue
        if stream is not waited_on:
            waited_on, end_s = stream, clock() + _timeout_s(stream)
        stream.changed.clear()
        left_s = end_s - clock()
        # With final text and nothing announced, a short wait is enough: most services send no more.
        is_settled = bool(stream.text) and not (
            stream.has_interim or stream.is_stalled or (stream.replays and stream.is_pending)
        )
        try:
            async with asyncio.timeout(min(left_s, FINAL_TIMEOUT_S) if is_settled else left_s):
                await stream.changed.wait()
            if stream.replays:
                end_s = clock() + _timeout_s(stream)
            on_transcript()
        except TimeoutError:
            if not utterance.should_abandon(stream):
                break
            stream.abandon()
    return utterance.text


def _timeout_s(stream: SttStream) -> float:
    """Return how long a service may stay silent. It has more to transcribe after a replay of the whole utterance."""
    return 2 * FIRST_FINAL_TIMEOUT_S if stream.replays else FIRST_FINAL_TIMEOUT_S
