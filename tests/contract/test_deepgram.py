"""Deepgram's SDK and LiveKit's plugin for it, each against the emulator on a real socket."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import httpx
import pytest
from deepgram.core.api_error import ApiError
from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError, stt, utils
from livekit.plugins import deepgram
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

from cluster.lab.emulator import Emulator, EmulatorState, Fault, LatencyModel, RateLimits
from cluster.lab.emulator.speech.deepgram import deepgram_routes
from cluster.lab.emulator.speech.recognizer import PhraseScript
from tests.support.speech_clients import RATE_HZ, deepgram_client, pieces, serving, silence, voice, wav

LIVE: dict[str, Any] = {"model": "nova-3", "encoding": "linear16", "sample_rate": RATE_HZ}
SPEECH = voice(900) + silence(300)


async def live_messages(root: str, sound: bytes, **query: Any) -> list[Any]:
    """Return every message of a live socket that is sent `sound` and closed in good order."""
    async with deepgram_client(root) as client, client.listen.v1.connect(**LIVE | query) as socket:
        for piece in pieces(sound):
            await socket.send_media(piece)
        await socket.send_close_stream()
        async with asyncio.timeout(5):
            return [message async for message in socket]


def transcripts(messages: list[Any], final: bool) -> list[str]:
    results = [message for message in messages if message.type == "Results" and message.is_final == final]
    texts = [result.channel.alternatives[0].transcript for result in results]
    return [text for text in texts if text]


async def test_a_recording_is_transcribed_phrase_by_phrase_and_billed_by_the_millisecond(emulator: Emulator) -> None:
    emulator.script.add("What is on the screen?", "And below?")
    sound = silence(200) + voice(900) + silence(1_000) + voice(537)
    async with deepgram_client(emulator.url) as client:
        answer = await client.listen.v1.media.transcribe_file(request=wav(sound), model="nova-3", smart_format=True)
    (alternative,) = answer.results.channels[0].alternatives
    assert alternative.transcript == "What is on the screen? And below?"
    assert (alternative.words[0].start, alternative.words[-1].word) == (0.2, "below")
    (seen,) = emulator.journal
    assert answer.metadata.duration == 2.637 == seen.audio_ms / 1_000
    assert (seen.vendor, seen.model, seen.status) == ("deepgram", "nova-3", 200)


async def test_recorded_silence_has_no_words_and_is_billed_like_speech(emulator: Emulator) -> None:
    async with deepgram_client(emulator.url) as client:
        answer = await client.listen.v1.media.transcribe_file(request=wav(silence(1_500)), model="nova-3")
    (alternative,) = answer.results.channels[0].alternatives
    assert (alternative.transcript, alternative.words, alternative.confidence) == ("", [], 0.0)
    assert emulator.journal[0].audio_ms == 1_500


async def test_a_body_that_is_not_audio_is_refused_and_not_billed(emulator: Emulator) -> None:
    async with deepgram_client(emulator.url) as client:
        with pytest.raises(ApiError) as failed:
            await client.listen.v1.media.transcribe_file(request=b"ID3 of some other kind", model="nova-3")
    assert failed.value.status_code == 400 and failed.value.headers is not None
    assert "dg-request-id" in failed.value.headers
    assert [(seen.status, seen.audio_ms) for seen in emulator.journal] == [(400, 0)]


async def test_live_speech_has_a_start_interim_and_final_results_and_its_billed_duration(emulator: Emulator) -> None:
    emulator.script.add("What is on the screen?")
    messages = await live_messages(
        emulator.url, voice(1_200) + silence(1_500), interim_results=True, vad_events=True, utterance_end_ms=1_000
    )
    assert messages[0].type == "SpeechStarted" and messages[0].timestamp == 0
    assert transcripts(messages, final=False) == ["what is", "what is on the"]
    assert transcripts(messages, final=True) == ["what is on the screen"]
    assert [message.type for message in messages[-3:]] == ["UtteranceEnd", "Results", "Metadata"]
    (seen,) = emulator.journal
    assert messages[-1].duration == 2.7 == seen.audio_ms / 1_000 and seen.status == 101
    assert seen.ended_at_s is not None and seen.answered_at_s is not None and seen.ended_at_s > seen.answered_at_s


async def test_a_pause_shorter_than_endpointing_is_within_a_phrase(emulator: Emulator) -> None:
    sound = voice(400) + silence(300) + voice(400) + silence(700)
    for endpointing, phrases in (("100", 2), ("500", 1)):
        messages = await live_messages(emulator.url, sound, endpointing=endpointing)
        assert sum(message.type == "Results" and message.speech_final for message in messages) == phrases


async def test_finalize_returns_the_transcript_so_far_at_once(emulator: Emulator) -> None:
    async with deepgram_client(emulator.url) as client, client.listen.v1.connect(**LIVE) as socket:
        await socket.send_media(voice(400))
        await socket.send_finalize()
        async with asyncio.timeout(2):
            result = await socket.recv()
        assert result.is_final and result.from_finalize
        assert result.channel.alternatives[0].transcript == "simulated transcript 1"


async def test_a_silent_client_is_closed_and_one_that_keeps_alive_is_not() -> None:
    async with (
        serving(deepgram_routes(EmulatorState(), PhraseScript(), idle_s=0.3)) as root,
        deepgram_client(root) as client,
    ):
        async with client.listen.v1.connect(**LIVE) as socket:
            for _ in range(6):
                await socket.send_keep_alive()
                await asyncio.sleep(0.1)
            with pytest.raises(ConnectionClosedError) as closed:
                await asyncio.wait_for(socket.recv(), 2)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, "NET-0001")


async def test_a_socket_with_audio_of_unknown_format_is_closed(emulator: Emulator) -> None:
    async with deepgram_client(emulator.url) as client, client.listen.v1.connect(model="nova-3") as socket:
        await socket.send_media(b"\x00\x01" * 800)
        with pytest.raises(ConnectionClosedError) as closed:
            await asyncio.wait_for(socket.recv(), 2)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "DATA-0000")


async def test_a_live_wav_needs_no_format_in_the_query(emulator: Emulator) -> None:
    async with deepgram_client(emulator.url) as client, client.listen.v1.connect(model="nova-3") as socket:
        for piece in pieces(wav(SPEECH)):
            await socket.send_media(piece)
        await socket.send_close_stream()
        messages = [message async for message in socket]
    assert transcripts(messages, final=True) == ["simulated transcript 1"]
    assert emulator.journal[0].audio_ms == 1_200


async def test_a_socket_without_audio_costs_nothing(emulator: Emulator) -> None:
    async with deepgram_client(emulator.url) as client, client.listen.v1.connect(model="nova-3") as socket:
        await socket.send_close_stream()
        (metadata,) = [message async for message in socket]
    assert (metadata.type, metadata.duration, emulator.journal[0].audio_ms) == ("Metadata", 0, 0)


@pytest.mark.parametrize("status", [401, 402, 429, 503])
async def test_a_refusal_has_the_same_status_for_recordings_and_live_sockets(status: int, emulator: Emulator) -> None:
    emulator.plan(Fault(status=status, headers={"x-planned": "yes"}), vendor="deepgram", times=2)
    async with deepgram_client(emulator.url) as client:
        with pytest.raises(ApiError) as recorded:
            await client.listen.v1.media.transcribe_file(request=wav(SPEECH), model="nova-3")
        with pytest.raises(ApiError) as live:
            async with client.listen.v1.connect(**LIVE):
                pass
    assert recorded.value.status_code == live.value.status_code == status
    assert recorded.value.headers is not None and recorded.value.headers["x-planned"] == "yes"
    # The SDK puts the request's headers in place of the answer's, so the reason of a refused handshake is lost.
    assert live.value.headers is not None and "x-planned" not in live.value.headers
    assert [(seen.status, seen.audio_ms) for seen in emulator.journal] == [(status, 0)] * 2


async def test_a_request_without_a_key_is_refused(emulator: Emulator) -> None:
    # The SDK sends nothing without a key, so this request is made without it.
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{emulator.url}/deepgram/v1/projects")
    assert (answer.status_code, answer.json()["err_code"]) == (401, "INVALID_AUTH")
    assert answer.headers["dg-request-id"] == answer.json()["request_id"]


async def test_one_socket_more_than_the_limit_is_refused_until_another_closes() -> None:
    async with Emulator(EmulatorState(limits=RateLimits(concurrent=1))).running() as emulator:
        async with deepgram_client(emulator.url) as client:
            async with client.listen.v1.connect(**LIVE) as first:
                with pytest.raises(ApiError) as failed:
                    async with client.listen.v1.connect(**LIVE):
                        pass
                await first.send_close_stream()
                assert [message.type async for message in first] == ["Metadata"]
            assert failed.value.status_code == 429
            assert transcripts(await live_messages(emulator.url, SPEECH), final=True) == ["simulated transcript 1"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(cut_after_chunks=1, close_code=1011, code="NET-0000"), 1011),
        (Fault(overload_after_chunks=1), 1011),
        (Fault(reset_after_chunks=1), 1006),
        (Fault(reset_after_bytes=1_000), 1006),
    ],
)
async def test_a_socket_breaks_at_its_planned_fault_and_the_audio_received_is_billed(
    fault: Fault, code: int, emulator: Emulator
) -> None:
    emulator.plan(fault)
    async with deepgram_client(emulator.url) as client, client.listen.v1.connect(**LIVE) as socket:
        await socket.send_media(SPEECH + SPEECH)
        assert (await socket.recv()).is_final
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 2)
    received = closed.value.rcvd
    assert (received.code if received else 1006) == code
    assert emulator.journal[0].audio_ms == 2_400


async def test_a_stalled_socket_sends_nothing_more(emulator: Emulator) -> None:
    emulator.plan(Fault(stall_after_chunks=1))
    async with deepgram_client(emulator.url) as client, client.listen.v1.connect(**LIVE) as socket:
        await socket.send_media(SPEECH + SPEECH)
        assert (await socket.recv()).is_final
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.3)


async def test_a_key_check_finds_projects_balance_and_models(emulator: Emulator) -> None:
    async with deepgram_client(emulator.url) as client:
        projects = await client.manage.v1.projects.list()
        project_id = projects.projects[0].project_id
        balances = await client.manage.v1.projects.billing.balances.list(project_id)
        models = await client.manage.v1.projects.models.list(project_id)
    assert balances.balances[0].amount > 0
    assert [model.canonical_name for model in models.stt] == ["nova-3-general"]


def frame(pcm: bytes) -> rtc.AudioFrame:
    return rtc.AudioFrame(pcm, RATE_HZ, 1, len(pcm) // 2)


async def plugin_events(
    emulator: Emulator, sound: bytes, until: stt.SpeechEventType
) -> tuple[list[stt.SpeechEvent], float]:
    """Return the plugin's events for `sound` up to one of a type, and the seconds that its metrics counted."""
    seconds = 0.0

    def count(metrics: Any) -> None:
        nonlocal seconds
        seconds += metrics.audio_duration

    async with utils.http_context.open():
        recognizer = deepgram.STT(base_url=f"{emulator.url}/deepgram/v1/listen", api_key="k")
        recognizer.on("metrics_collected", count)
        stream = recognizer.stream(conn_options=APIConnectOptions(max_retry=0))
        events = []
        try:
            for piece in pieces(sound):
                stream.push_frame(frame(piece))
            stream.flush()
            async with asyncio.timeout(5):
                async for event in stream:
                    events.append(event)
                    if event.type is until:
                        break
            return events, seconds
        finally:
            await stream.aclose()
            await recognizer.aclose()


async def test_the_livekit_plugin_receives_interim_and_final_transcripts_and_counts_as_the_journal_does(
    emulator: Emulator,
) -> None:
    emulator.script.add("What is on the screen?")
    events, seconds = await plugin_events(emulator, SPEECH, stt.SpeechEventType.END_OF_SPEECH)
    kinds = [event.type for event in events if event.type is not stt.SpeechEventType.RECOGNITION_USAGE]
    assert kinds[0] is stt.SpeechEventType.START_OF_SPEECH and stt.SpeechEventType.INTERIM_TRANSCRIPT in kinds
    (final,) = [event for event in events if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT]
    assert final.alternatives[0].text == "What is on the screen?"
    assert round(1_000 * seconds) == 1_200 == emulator.journal[0].audio_ms


@pytest.mark.parametrize(
    ("fault", "status", "retryable"),
    [
        (Fault(status=401), 401, False),
        (Fault(status=429), 429, True),
        (Fault(cut_after_chunks=1, close_code=1011, code="NET-0000"), 1011, True),
    ],
)
async def test_the_livekit_plugin_distinguishes_a_refusal_from_a_broken_socket(
    fault: Fault, status: int, retryable: bool, emulator: Emulator
) -> None:
    emulator.plan(fault)
    with pytest.raises(APIStatusError) as failed:
        await plugin_events(emulator, SPEECH + SPEECH, stt.SpeechEventType.END_OF_SPEECH)
    assert (failed.value.status_code, failed.value.retryable) == (status, retryable)


async def test_the_livekit_plugin_transcribes_a_recording_but_reports_a_refusal_as_a_lost_connection(
    emulator: Emulator,
) -> None:
    async with utils.http_context.open():
        recognizer = deepgram.STT(base_url=f"{emulator.url}/deepgram/v1/listen", api_key="k")
        transcript = await recognizer.recognize(frame(SPEECH), conn_options=APIConnectOptions(max_retry=0))
        assert transcript.alternatives[0].text == "simulated transcript 1" and emulator.journal[0].audio_ms == 1_200
        emulator.plan(Fault(status=401))
        # It reads the body without a look at the status: recordings of ours go through the SDK.
        with pytest.raises(APIConnectionError):
            await recognizer.recognize(frame(SPEECH), conn_options=APIConnectOptions(max_retry=0))
        await recognizer.aclose()


async def test_another_process_can_plan_the_transcripts(emulator: Emulator) -> None:
    async with httpx.AsyncClient(base_url=emulator.url) as client:
        planned = await client.post("/_emulator/phrases", json={"phrases": ["From outside."]})
        wrong = await client.post("/_emulator/phrases", json={"phrases": "From outside."})
    assert (planned.status_code, planned.json()) == (200, {"planned": 1})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "phrases")
    assert transcripts(await live_messages(emulator.url, SPEECH), final=True) == ["from outside"]


@pytest.mark.parametrize("query", [{"encoding": "opus"}, {"endpointing": "soon"}, {"sample_rate": 0}])
async def test_an_invalid_query_is_refused_at_the_handshake(query: dict[str, Any], emulator: Emulator) -> None:
    async with deepgram_client(emulator.url) as client:
        with pytest.raises(ApiError) as failed:
            async with client.listen.v1.connect(**LIVE | query):
                pass
    assert failed.value.status_code == 400


async def test_a_transcript_takes_the_time_of_its_models_profile() -> None:
    slept_s = []

    async def record_sleep(seconds: float) -> None:
        slept_s.append(seconds)
        await asyncio.sleep(0)

    def latency() -> LatencyModel:
        return LatencyModel(random.Random(3), speed=1.0)

    async with (
        Emulator(EmulatorState(latency=latency(), sleep=record_sleep)).running() as emulator,
        deepgram_client(emulator.url) as client,
    ):
        await client.listen.v1.media.transcribe_file(request=wav(SPEECH), model="nova-3")
    assert slept_s == [0.0, latency().first_token_s("nova-3")]


async def test_a_socket_planned_to_withhold_its_usage_ends_without_it(emulator: Emulator) -> None:
    emulator.plan(Fault(unreported_usage=True))
    messages = await live_messages(emulator.url, SPEECH)
    assert {message.type for message in messages} == {"Results"} and emulator.journal[0].audio_ms == 1_200
