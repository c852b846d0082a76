"""Check speech output through failures of its vendor, with LiveKit's session and the emulator on real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby

import pytest
from livekit import rtc
from livekit.agents.voice.io import AudioOutput, AudioOutputCapabilities
from structlog.testing import capture_logs

from cluster.lab.emulator import Emulator, Fault
from room_agent.audio.plugins import tts_plugins
from room_agent.audio.tts import COOLDOWN_S, TTS_TIMEOUT_S, SpeechOutput
from room_agent.audio.voices import Voices
from room_agent.usage.meter import SpeechMeter, metered_tts_session
from tests.support.speech_settings import settings_for

FLASH, TURBO = "eleven_flash_v2_5", "eleven_turbo_v2_5"


class FakeAudioOutput(AudioOutput):
    """An audio output that plays at once and counts the seconds played."""

    def __init__(self) -> None:
        super().__init__(label="loudspeaker", capabilities=AudioOutputCapabilities(pause=False), sample_rate=24_000)
        self.played_s = self._playing_s = 0.0

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        self._playing_s += frame.duration

    def flush(self) -> None:
        super().flush()
        self.clear_buffer()

    def clear_buffer(self) -> None:
        if self._playing_s:
            played_s, self._playing_s = self._playing_s, 0.0
            self.played_s += played_s
            self.on_playback_finished(playback_position=played_s, interrupted=False)


@dataclass
class MeteredSpeaker:
    """A speech output with counters of its audio and characters."""

    emulator: Emulator
    usage: SpeechMeter
    output: SpeechOutput
    audio_output: FakeAudioOutput
    available: list[bool] = field(default_factory=list)

    async def say(self, *texts: str, asker: str = "", language: str = "") -> float:
        """Speak an answer that arrives in these chunks; return the seconds of audio played."""

        async def chunks() -> AsyncIterator[str]:
            for text in texts:
                yield text

        before_s = self.audio_output.played_s
        handle = self.output.say(chunks(), asker, language)
        assert handle is not None
        async with asyncio.timeout(60):
            await self.output.wait_until_played(handle)
        return self.audio_output.played_s - before_s

    def charged(self) -> int:
        return sum(request.characters for request in self.emulator.journal)


@asynccontextmanager
async def metered_speaker(emulator: Emulator, *models: str) -> AsyncIterator[MeteredSpeaker]:
    """Yield a speech output that is available again at once after a failure."""
    usage, clock_calls = SpeechMeter(time.time), iter(range(10_000))
    async with metered_tts_session(usage) as http:
        plugins = tts_plugins(settings_for(emulator, tts_models=models), http)
        output = SpeechOutput(plugins, lambda: next(clock_calls) * COOLDOWN_S)
        await output.start(None)
        output.session.output.audio = audio_output = FakeAudioOutput()
        speaker = MeteredSpeaker(emulator, usage, output, audio_output)
        output.on_available = speaker.available.append
        voices = Voices(plugins, "anna", {"de": "berta"})

        def speak(asker: str, language: str) -> None:
            usage.speak_for(asker)
            voices.use(language)

        output.on_speaking_for = speak
        yield speaker
        await output.aclose()


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator().running() as emulator:
        yield emulator


async def test_each_language_has_its_voice_and_one_without_a_voice_has_the_default_one(emulator: Emulator) -> None:
    async with metered_speaker(emulator, FLASH) as speaker:
        with capture_logs() as logs:
            for text, language in (
                ("It is green.", ""),
                ("Es ist rot.", "de-CH"),
                ("Ni nyekundu.", "sw"),
                ("So.", "sw"),
            ):
                assert await speaker.say(text, language=language) > 0.1
        assert speaker.usage.characters == speaker.charged()
    voices = [voice for voice, _ in groupby(request.path.split("/")[4] for request in emulator.journal)]
    assert voices == ["anna", "berta", "anna"]
    assert [(line["event"], line["language"]) for line in logs] == [
        ("no voice speaks this language; the default voice is used", "sw")
    ]


async def test_each_answer_is_on_the_bill_of_its_asker_and_a_notice_on_nobodys(emulator: Emulator) -> None:
    async with metered_speaker(emulator, FLASH) as speaker:
        for text, asker in (("It is green.", "ann"), ("It is red now.", "bob"), ("Oops!", ""), ("Yes.", "ann")):
            await speaker.say(text, asker=asker)
        amounts = {event.participant: event.characters for event in speaker.usage.due()}
        assert amounts == {"ann": 12 + 4, "bob": 14, "": 5}
        assert speaker.usage.characters == speaker.charged() == 35


@pytest.mark.parametrize("after_chunks", [0, 1])
async def test_an_answer_after_a_stalled_one_is_spoken(emulator: Emulator, after_chunks: int) -> None:
    emulator.plan(Fault(stall_after_chunks=after_chunks, stall_s=60), vendor="elevenlabs")
    async with metered_speaker(emulator, FLASH) as speaker:
        stalled_s = await speaker.say("The first answer has a second half. ", "This is it.")
        assert [await speaker.say("The second answer is heard.") > 1 for _ in range(3)] == [True] * 3
        assert stalled_s < 2 and speaker.available.count(False) == 1
        # The stalled socket is closed, and with it every text sent on it.
        assert emulator.journal[0].ended_at_s is not None and emulator.journal[1].ended_at_s is not None
        assert speaker.usage.characters == speaker.charged()


async def test_another_tts_model_speaks_for_a_stalled_one_which_gets_a_new_socket(
    emulator: Emulator,
) -> None:
    emulator.plan(Fault(stall_after_chunks=0, stall_s=60), vendor="elevenlabs")
    async with metered_speaker(emulator, FLASH, TURBO) as speaker:
        assert await speaker.say("The first answer.") > 0.5 and speaker.available.count(False) == 0
        started_s = time.monotonic()
        assert await speaker.say("The second answer.") > 0.5 and time.monotonic() - started_s < TTS_TIMEOUT_S - 1
        assert emulator.journal[0].model == FLASH and emulator.journal[0].ended_at_s is not None
    assert speaker.usage.characters == speaker.charged()


async def test_an_unpaired_surrogate_is_removed_and_the_rest_is_spoken(emulator: Emulator) -> None:
    async with metered_speaker(emulator, FLASH) as speaker:
        assert await speaker.say("It is \ud83d", "fine\udc00.") > 0.3
        assert speaker.usage.characters == speaker.charged() == len("It is fine.")


@pytest.mark.parametrize(
    ("quota", "models", "charged"),
    [(25, [FLASH], 18), (25, [FLASH, TURBO], 18), (0, [FLASH, TURBO], 0), (70, [FLASH], 65), (70, [FLASH, TURBO], 65)],
)
async def test_text_refused_for_an_exceeded_quota_is_not_billed(quota: int, models: list[str], charged: int) -> None:
    async with Emulator(characters=quota).running() as emulator, metered_speaker(emulator, *models) as speaker:
        for _ in range(2):
            await speaker.say("It says forty two.")
        await speaker.say("This is the first half of it. ", "And this is the second half, which is too long.")
        await asyncio.sleep(0.3)
        assert speaker.usage.characters == speaker.charged() == charged
