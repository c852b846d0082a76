"""ElevenLabs' SDK and LiveKit's plugin for it, each against the emulator on a real socket."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx
import numpy as np
import pytest
from elevenlabs.core.api_error import ApiError
from livekit.agents import APIConnectOptions, APIStatusError, utils
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT
from livekit.plugins import elevenlabs

from cluster.lab.emulator import Emulator, EmulatorState, Fault, LatencyModel, RateLimits
from cluster.lab.emulator.core.tone import pitch_hz
from cluster.lab.emulator.speech.elevenlabs import elevenlabs_routes
from tests.support.speech_clients import elevenlabs_client, serving, synthesize_live

TEXT = "Hello there, you two."
SPEECH: dict[str, Any] = {"model_id": "eleven_turbo_v2_5", "output_format": "pcm_24000"}


async def synthesized(root: str, text: str = TEXT, timeout_s: float = 5.0, **options: Any) -> bytes:
    async with elevenlabs_client(root, timeout_s=timeout_s) as client:
        return b"".join([piece async for piece in client.text_to_speech.stream("anna", text=text, **SPEECH | options)])


async def test_a_text_becomes_a_tone_of_its_length_and_each_character_is_billed(emulator: Emulator) -> None:
    sound = np.frombuffer(await synthesized(emulator.url), "<i2")
    assert len(sound) == 24_000 * len(TEXT) // 15
    loudest = np.abs(np.fft.rfft(sound)).argmax() * 24_000 / len(sound)
    assert loudest == pytest.approx(pitch_hz("anna"), abs=1)
    (seen,) = emulator.journal
    assert (seen.vendor, seen.model, seen.characters, seen.status) == ("elevenlabs", "eleven_turbo_v2_5", 21, 200)


async def test_the_headers_of_a_response_hold_its_cost(emulator: Emulator) -> None:
    async with elevenlabs_client(emulator.url) as client:
        async with client.text_to_speech.with_raw_response.stream("anna", text=TEXT, **SPEECH) as response:
            assert response.headers["character-cost"] == "21" and response.headers["request-id"]
            assert sum([len(piece) async for piece in response.data]) == 2 * 24_000 * 21 // 15


async def test_the_sdks_websocket_synthesizes_each_text_and_bills_its_characters(emulator: Emulator) -> None:
    sound = await asyncio.to_thread(synthesize_live, emulator.url, ["Hello there, ", "how are you?"])
    spoken = emulator.journal[-1]
    assert (spoken.characters, spoken.model) == (25, "eleven_turbo_v2_5")
    assert len(sound) == pytest.approx(2 * 16_000 * 25 / 15, rel=0.05)


async def test_a_format_that_is_not_pcm_is_refused_by_name(emulator: Emulator) -> None:
    with pytest.raises(ApiError) as failed:
        await synthesized(emulator.url, output_format="mp3_44100_128")
    assert failed.value.status_code == 400 and "pcm_24000" in failed.value.body["detail"]["message"]
    assert emulator.journal[0].characters == 0


@pytest.mark.parametrize(("status", "code"), [(401, "invalid_api_key"), (429, "system_busy")])
async def test_a_refusal_keeps_its_status_and_code_and_is_not_billed(
    status: int, code: str, emulator: Emulator
) -> None:
    emulator.plan(Fault(status=status), vendor="elevenlabs")
    with pytest.raises(ApiError) as failed:
        await synthesized(emulator.url)
    assert (failed.value.status_code, failed.value.body["detail"]["status"]) == (status, code)
    assert [(seen.status, seen.characters) for seen in emulator.journal] == [(status, 0)]


async def test_one_request_above_the_plans_limit_is_refused_with_that_limit() -> None:
    async with Emulator(EmulatorState(limits=RateLimits(concurrent=1))).running() as emulator:
        emulator.plan(Fault(stall_after_chunks=1))
        async with elevenlabs_client(emulator.url) as client:
            slow = client.text_to_speech.stream("anna", text=TEXT * 3, **SPEECH)
            await anext(slow)
            with pytest.raises(ApiError) as failed:
                await synthesized(emulator.url)
            await slow.aclose()
    assert failed.value.status_code == 429 and failed.value.headers is not None
    assert failed.value.body["detail"]["status"] == "too_many_concurrent_requests"
    assert failed.value.headers["maximum-concurrent-requests"] == "1"


async def test_a_spent_quota_is_reported_over_http_and_over_the_websocket() -> None:
    async with serving(elevenlabs_routes(EmulatorState(), characters=30)) as root:
        await synthesized(root)
        with pytest.raises(ApiError) as recorded:
            await synthesized(root)
        with pytest.raises(ApiError) as live:
            await asyncio.to_thread(synthesize_live, root, [TEXT])
        async with elevenlabs_client(root) as client:
            account = await client.user.subscription.get()
    assert recorded.value.body["detail"]["status"] == "quota_exceeded"
    assert live.value.status_code == 1008 and "quota_exceeded" in str(live.value.body)
    assert (account.character_count, account.character_limit) == (21, 30)


async def test_a_stream_that_breaks_or_stalls_is_an_error_and_one_that_is_cut_is_short(emulator: Emulator) -> None:
    text = TEXT * 4
    emulator.plan(Fault(reset_after_chunks=1))
    with pytest.raises(httpx.TransportError):
        await synthesized(emulator.url, text)
    emulator.plan(Fault(stall_after_chunks=1))
    with pytest.raises(httpx.ReadTimeout):
        await synthesized(emulator.url, text, timeout_s=0.3)
    emulator.plan(Fault(cut_after_chunks=1))
    assert len(await synthesized(emulator.url, text)) == 2 * 24_000 * 20 // 15
    assert [seen.characters for seen in emulator.journal] == [84, 84, 84]


async def test_a_key_check_finds_voices_models_and_the_remaining_quota(emulator: Emulator) -> None:
    async with elevenlabs_client(emulator.url) as client:
        voices = await client.voices.get_all()
        page = await client.voices.search()
        models = await client.models.list()
        account = await client.user.subscription.get()
    assert {voice.voice_id for voice in voices.voices} == {voice.voice_id for voice in page.voices}
    assert {"eleven_turbo_v2_5", "eleven_flash_v2_5"} <= {model.model_id for model in models}
    assert account.status == "active" and account.character_count == 0


async def test_a_voice_is_found_by_its_id_a_legacy_one_too_and_an_unknown_one_is_not(emulator: Emulator) -> None:
    async with elevenlabs_client(emulator.url) as client:
        listed = {voice.voice_id for voice in (await client.voices.get_all()).voices}
        legacy = {voice.voice_id for voice in (await client.voices.get_all(show_legacy=True)).voices} - listed
        names = [(await client.voices.get(voice)).name for voice in (*sorted(listed), *legacy)]
        with pytest.raises(ApiError) as failed:
            await client.voices.get("nobody")
    assert len(legacy) == 1 and names == ["Sarah", "Bella", "Rachel"]
    assert (failed.value.status_code, failed.value.body["detail"]["status"]) == (404, "voice_not_found")


class SpeechPlugin:
    """LiveKit's plugin with the number of characters that it counted."""

    def __init__(self, root: str) -> None:
        self.characters = 0
        self._tts = elevenlabs.TTS(
            base_url=f"{root}/elevenlabs/v1", encoding="pcm_24000", model="eleven_flash_v2_5", api_key="k"
        )
        self._tts.on("metrics_collected", self._count)

    def _count(self, metrics: Any) -> None:
        self.characters += metrics.characters_count

    async def speak(self, *texts: str) -> tuple[float, str]:
        """Return the length of the sound in seconds, and the words that came with it."""
        stream = self._tts.stream(conn_options=APIConnectOptions(max_retry=0))
        seconds, words = 0.0, ""
        try:
            for text in texts:
                stream.push_text(text)
            stream.end_input()
            async with asyncio.timeout(5):
                async for audio in stream:
                    seconds += audio.frame.duration
                    words += "".join(str(word) for word in audio.frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, []))
        finally:
            await stream.aclose()
        return seconds, words

    async def aclose(self) -> None:
        await self._tts.aclose()


@pytest.fixture
async def plugin(emulator: Emulator) -> AsyncIterator[SpeechPlugin]:
    async with utils.http_context.open():
        plugin = SpeechPlugin(emulator.url)
        yield plugin
        await plugin.aclose()


async def test_the_livekit_plugin_speaks_and_counts_as_the_journal_does(
    plugin: SpeechPlugin, emulator: Emulator
) -> None:
    seconds, words = await plugin.speak(
        "Hello there. ", "How are you today? ", "I will look at the screen for you now."
    )
    socket, spoken = emulator.journal
    assert plugin.characters == spoken.characters == 70 and socket.characters == 0
    assert seconds == pytest.approx(70 / 15, rel=0.05)
    assert words.strip() == "Hello there. How are you today? I will look at the screen for you now."
    assert (spoken.model, socket.status) == ("eleven_flash_v2_5", 101)


async def test_the_livekit_plugin_speaks_two_texts_on_one_socket_and_each_is_billed(
    plugin: SpeechPlugin, emulator: Emulator
) -> None:
    await plugin.speak("The first answer.")
    await plugin.speak("And then the second one.")
    assert [seen.status for seen in emulator.journal] == [101, 200, 200]
    assert [seen.characters for seen in emulator.journal] == [0, 17, 24] and plugin.characters == 41


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault(status=401), 401),
        (Fault(status=429), 429),
        (Fault(cut_after_chunks=1, close_code=1008, code="quota_exceeded"), 1008),
    ],
)
async def test_the_livekit_plugin_raises_the_error_that_closed_its_socket(
    fault: Fault, status: int, plugin: SpeechPlugin, emulator: Emulator
) -> None:
    emulator.plan(fault)
    with pytest.raises(APIStatusError) as failed:
        await plugin.speak("Hello there, this is a text of more than one piece.")
    assert failed.value.status_code == status


async def answers_until_closed(
    root: str, query: str, messages: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], int | None]:
    """Return the answers of a multi-context socket to `messages` until it closes, and its close code."""
    url = f"{root}/elevenlabs/v1/text-to-speech/anna/multi-stream-input?output_format=pcm_16000&{query}"
    async with aiohttp.ClientSession(headers={"xi-api-key": "k"}) as session, session.ws_connect(url) as socket:
        for message in messages:
            await socket.send_json(message)
        async with asyncio.timeout(5):
            return [message.json() async for message in socket], socket.close_code


async def test_each_context_is_spoken_and_billed_apart(emulator: Emulator) -> None:
    messages: list[dict[str, Any]] = [
        {"text": " ", "context_id": "a"},
        {"text": "One. ", "context_id": "a", "flush": True},
        {"text": " ", "context_id": "b"},
        {"text": "Two and three. ", "context_id": "b"},
        {"context_id": "a", "close_context": True},
        {"close_socket": True},
    ]
    answers, code = await answers_until_closed(emulator.url, "", messages)
    assert [(answer["contextId"], answer["isFinal"]) for answer in answers] == [
        ("a", None),
        ("a", True),
        ("b", None),
        ("b", True),
    ]
    assert code == 1000 and [seen.characters for seen in emulator.journal] == [0, 4, 14]
    assert "".join(answers[2]["normalizedAlignment"]["chars"]) == "Two and three. "


async def test_the_first_sound_of_a_piece_takes_the_time_of_its_models_profile() -> None:
    slept_s = []

    async def record_sleep(seconds: float) -> None:
        slept_s.append(seconds)
        await asyncio.sleep(0)

    def latency() -> LatencyModel:
        return LatencyModel(random.Random(3), speed=1.0)

    state = EmulatorState(latency=latency(), sleep=record_sleep, clock=lambda: 0.0)
    async with Emulator(state).running() as emulator:
        await asyncio.to_thread(synthesize_live, emulator.url, ["Hello there, you two."])
    assert slept_s[1] == latency().first_token_s("eleven_turbo_v2_5")


async def test_a_sixth_context_closes_the_socket(emulator: Emulator) -> None:
    answers, code = await answers_until_closed(
        emulator.url, "", [{"text": " ", "context_id": str(n)} for n in range(6)]
    )
    assert (answers[-1]["error"], answers[-1]["code"], code) == ("max_active_conversations", 1008, 1008)


async def test_an_idle_socket_is_closed(emulator: Emulator) -> None:
    answers, code = await answers_until_closed(
        emulator.url, "inactivity_timeout=0.2", [{"text": " ", "context_id": "a"}]
    )
    assert (answers[-1]["error"], code) == ("input_timeout_exceeded", 1008)
    assert all(seen.ended_at_s is not None for seen in emulator.journal)
