"""The emulated recognizer finds phrases by energy alone; synthesized audio is as long as its text requires."""

from __future__ import annotations

import numpy as np
import pytest

from cluster.lab.emulator.core.tone import ToneVoice, pitch_hz
from cluster.lab.emulator.speech.deepgram_format import live_options, read_wav
from cluster.lab.emulator.speech.elevenlabs_live import CharacterQuota, SpeechContext, idle_limit_s, rate_hz
from cluster.lab.emulator.speech.recognizer import (
    MAX_PHRASES,
    Event,
    PhraseScript,
    RecognitionOptions,
    RecognizedSpeech,
    SpeechStarted,
    StreamRecognizer,
    UtteranceEnded,
)
from routing.errors import BadInput, TooLarge

RATE_HZ = 16_000
LIVE = RecognitionOptions(endpointing_ms=100, interim=True, starts=True)


def voice(duration_ms: int) -> bytes:
    sample = np.arange(RATE_HZ * duration_ms // 1_000)
    return (8_000 * np.sin(2 * np.pi * 220 * sample / RATE_HZ)).astype("<i2").tobytes()


def silence(duration_ms: int) -> bytes:
    return bytes(2 * RATE_HZ * duration_ms // 1_000)


def recognize(recognizer: StreamRecognizer, sound: bytes, chunk_bytes: int = 1_600) -> list[Event]:
    """Feed `sound` in chunks, by default of 50 ms as livekit does, then flush; return all events."""
    chunks = [sound[start : start + chunk_bytes] for start in range(0, len(sound), chunk_bytes)]
    return [event for chunk in chunks for event in recognizer.feed(chunk)] + recognizer.flush()


def final_transcripts(events: list[Event]) -> list[str]:
    results = [event for event in events if isinstance(event, RecognizedSpeech) and event.final]
    return [" ".join(word.text for word in event.words) for event in results if event.words]


def test_silence_and_quiet_noise_have_no_words() -> None:
    rng = np.random.default_rng(7)
    noise = rng.normal(0, 100, RATE_HZ).astype("<i2").tobytes()
    for sound in (silence(1_000), noise):
        events = recognize(StreamRecognizer(RATE_HZ, LIVE, PhraseScript(["never said"]).next), sound)
        assert final_transcripts(events) == [] and not any(isinstance(event, SpeechStarted) for event in events)


def test_each_voiced_segment_is_the_next_phrase_of_the_script() -> None:
    script = PhraseScript(["What is on the screen?", "Thank you."])
    sound = silence(200) + voice(900) + silence(300) + voice(400) + silence(300) + voice(400)
    events = recognize(StreamRecognizer(RATE_HZ, LIVE, script.next), sound)
    assert final_transcripts(events) == ["What is on the screen?", "Thank you.", "simulated transcript 1"]
    assert sum(isinstance(event, SpeechStarted) for event in events) == 3


def test_speech_after_the_end_of_the_script_has_no_words() -> None:
    sound = silence(200) + voice(900) + silence(300) + voice(400) + silence(300)
    events = recognize(StreamRecognizer(RATE_HZ, LIVE, PhraseScript(["Thank you."], ends=True).next), sound)
    assert final_transcripts(events) == ["Thank you."]
    assert sum(isinstance(event, SpeechStarted) for event in events) == 2


@pytest.mark.parametrize("chunk_bytes", [321, 1_600, 1_000_000])
def test_the_chunk_size_does_not_change_the_transcript(chunk_bytes: int) -> None:
    sound = silence(200) + voice(900) + silence(300)
    expected = recognize(StreamRecognizer(RATE_HZ, LIVE, PhraseScript(["a b c"]).next), sound)
    assert recognize(StreamRecognizer(RATE_HZ, LIVE, PhraseScript(["a b c"]).next), sound, chunk_bytes) == expected


def test_interim_results_grow_and_the_final_result_has_all_words_with_times() -> None:
    events = recognize(
        StreamRecognizer(RATE_HZ, LIVE, PhraseScript(["one two three four five six"]).next), voice(1_800) + silence(200)
    )
    results = [event for event in events if isinstance(event, RecognizedSpeech)]
    assert [len(event.words) for event in results if not event.final] == [2, 4, 6]
    last = next(event for event in results if event.final)
    assert last.speech_final and len(last.words) == 6
    assert (last.words[0].start_ms, last.words[-1].end_ms) == (0, 1_800)


def test_a_phrase_ends_only_after_the_configured_pause() -> None:
    sound = voice(400) + silence(300) + voice(400) + silence(700)
    counts = []
    for endpointing_ms in (25, 500, None):
        recognizer = StreamRecognizer(RATE_HZ, RecognitionOptions(endpointing_ms=endpointing_ms), PhraseScript().next)
        counts.append(
            sum(isinstance(event, RecognizedSpeech) and event.speech_final for event in recognize(recognizer, sound))
        )
    assert counts == [2, 1, 1]


def test_gaps_between_words_do_not_end_a_phrase_with_short_endpointing() -> None:
    sound = (voice(200) + silence(60)) * 4 + silence(200)
    events = recognize(
        StreamRecognizer(RATE_HZ, RecognitionOptions(endpointing_ms=10), PhraseScript(["four short words here"]).next),
        sound,
    )
    assert final_transcripts(events) == ["four short words here"]


def test_an_utterance_ends_once_after_its_own_silence() -> None:
    options = RecognitionOptions(endpointing_ms=100, utterance_end_ms=1_000)
    events = recognize(StreamRecognizer(RATE_HZ, options, PhraseScript().next), voice(400) + silence(3_000))
    assert [event.last_word_end_ms for event in events if isinstance(event, UtteranceEnded)] == [400]


def test_the_final_results_of_a_long_speech_join_to_the_whole_phrase() -> None:
    phrase = " ".join(f"w{number}" for number in range(40))
    events = recognize(StreamRecognizer(RATE_HZ, LIVE, PhraseScript([phrase]).next), voice(12_000) + silence(200))
    assert len(final_transcripts(events)) == 3 and " ".join(final_transcripts(events)) == phrase
    assert [
        event.speech_final for event in events if isinstance(event, RecognizedSpeech) and event.final and event.words
    ] == [
        False,
        False,
        True,
    ]


def test_a_flush_returns_the_transcript_so_far() -> None:
    recognizer = StreamRecognizer(RATE_HZ, LIVE, PhraseScript(["cut short"]).next)
    assert recognizer.feed(voice(400)) == [SpeechStarted(at_ms=0)]
    (flushed,) = recognizer.flush(from_finalize=True)
    assert isinstance(flushed, RecognizedSpeech) and flushed.from_finalize and len(flushed.words) == 2
    assert recognizer.flush(from_finalize=True) == []


def test_the_received_audio_is_counted_to_the_millisecond() -> None:
    recognizer = StreamRecognizer(48_000, LIVE, PhraseScript().next, channels=2)
    for _ in range(7):
        recognizer.feed(bytes(4 * 48 * 13))
    assert recognizer.audio_ms == 91


def test_synthesized_speech_has_the_duration_of_its_text_and_an_alignment() -> None:
    speech = ToneVoice("anna", 24_000).synthesize("Hello there, you two.")
    alignment = speech.alignment()
    assert len(speech.pcm) == 2 * 24_000 * 21 // 15
    assert "".join(alignment["chars"]) == "Hello there, you two."
    assert sum(alignment["charDurationsMs"]) == 1_400 and len(alignment["charStartTimesMs"]) == 21


def test_a_text_synthesized_in_pieces_equals_the_whole() -> None:
    pieces = ToneVoice("anna", 16_000)
    first, second = pieces.synthesize("Hello there. "), pieces.synthesize("How are you?")
    assert first.pcm + second.pcm == ToneVoice("anna", 16_000).synthesize("Hello there. How are you?").pcm
    assert second.alignment()["charStartTimesMs"][0] == second.start_ms == round(13_000 / 15)


def test_the_recognizer_understands_the_synthesized_voice() -> None:
    sound = ToneVoice("anna", RATE_HZ).synthesize("Is anybody there?").pcm + silence(300)
    assert final_transcripts(
        recognize(StreamRecognizer(RATE_HZ, LIVE, PhraseScript(["Is anybody there?"]).next), sound)
    ) == ["Is anybody there?"]


def test_each_voice_has_its_own_constant_pitch() -> None:
    assert pitch_hz("anna") == pitch_hz("anna") != pitch_hz("bert")
    assert all(110 <= pitch_hz(f"voice {number}") <= 290 for number in range(100))


def context(immediate: bool = False) -> SpeechContext:
    return SpeechContext(voice=ToneVoice("anna", RATE_HZ), immediate=immediate, schedule=(10, 20))


def test_text_is_buffered_until_it_reaches_the_scheduled_length() -> None:
    speech_context = context()
    pieces = [speech_context.buffer("1234567 ", flush=False) for _ in range(6)]
    assert pieces == ["", "1234567 1234567 ", "", "", "1234567 1234567 1234567 ", ""]


def test_a_flush_or_an_immediate_context_releases_text_except_whitespace() -> None:
    assert context().buffer("Hi. ", flush=True) == "Hi. "
    assert context(immediate=True).buffer("Hi. ", flush=False) == "Hi. "
    assert context(immediate=True).buffer(" ", flush=True) == ""


def test_billed_characters_exclude_surrounding_whitespace() -> None:
    speech_context = context(immediate=True)
    for text in (" ", "Hello there. ", "How are you? ", ""):
        speech_context.buffer(text, flush=False)
    assert speech_context.characters == len("Hello there. How are you?")


def test_a_quota_is_spent_up_to_its_limit() -> None:
    quota = CharacterQuota(10)
    assert [quota.spend(6), quota.spend(6), quota.spend(4)] == [True, False, True]
    assert quota.used == 10


def test_the_number_of_phrases_is_limited() -> None:
    script = PhraseScript(["one"])
    with pytest.raises(TooLarge):
        script.add(*["more"] * MAX_PHRASES)
    assert len(script) == 1


@pytest.mark.parametrize(
    ("query", "pause_ms"), [({}, 100), ({"endpointing": "300"}, 300), ({"endpointing": "false"}, None)]
)
def test_the_query_sets_the_pause_that_ends_a_phrase(query: dict[str, str], pause_ms: int | None) -> None:
    assert live_options(query).pause_ms == pause_ms


def test_an_unsupported_query_is_rejected_by_its_key() -> None:
    with pytest.raises(BadInput) as excinfo:
        live_options({"utterance_end_ms": "soon"})
    assert excinfo.value.param == "utterance_end_ms"
    with pytest.raises(BadInput) as excinfo:
        rate_hz({"output_format": "mp3_44100_128"})
    assert excinfo.value.param == "output_format"


def test_audio_that_is_not_16_bit_wav_is_rejected() -> None:
    assert [read_wav(data) for data in (b"", b"RIFF", b"ID3" + bytes(100))] == [None, None, None]


@pytest.mark.parametrize(("requested", "idle_s"), [(None, 20), ("60", 60), ("9999", 180), ("soon", 20), ("nan", 0.1)])
def test_the_idle_timeout_of_a_socket_is_bounded(requested: str | None, idle_s: float) -> None:
    assert idle_limit_s(requested) == idle_s
