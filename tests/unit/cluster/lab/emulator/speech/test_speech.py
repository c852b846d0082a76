"""The emulated ear and voice: words come of energy alone, and a text's sound is as long as a voice would need."""

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
    at = np.arange(RATE_HZ * duration_ms // 1_000)
    return (8_000 * np.sin(2 * np.pi * 220 * at / RATE_HZ)).astype("<i2").tobytes()


def silence(duration_ms: int) -> bytes:
    return bytes(2 * RATE_HZ * duration_ms // 1_000)


def heard_in(recognizer: StreamRecognizer, sound: bytes, chunk_bytes: int = 1_600) -> list[Event]:
    """Return all that is told of a sound that comes as livekit sends it, 50 ms at a time, and then ends."""
    chunks = [sound[start : start + chunk_bytes] for start in range(0, len(sound), chunk_bytes)]
    return [event for chunk in chunks for event in recognizer.feed(chunk)] + recognizer.flush()


def finals(events: list[Event]) -> list[str]:
    heard = [event for event in events if isinstance(event, RecognizedSpeech) and event.final]
    return [" ".join(word.text for word in event.words) for event in heard if event.words]


def test_silence_has_no_words_and_noise_below_a_voice_neither() -> None:
    rng = np.random.default_rng(7)
    noise = rng.normal(0, 100, RATE_HZ).astype("<i2").tobytes()
    for sound in (silence(1_000), noise):
        events = heard_in(StreamRecognizer(RATE_HZ, LIVE, PhraseScript(["never said"]).next), sound)
        assert finals(events) == [] and not any(isinstance(event, SpeechStarted) for event in events)


def test_each_stretch_of_voice_is_the_scripts_next_phrase() -> None:
    script = PhraseScript(["What is on the screen?", "Thank you."])
    sound = silence(200) + voice(900) + silence(300) + voice(400) + silence(300) + voice(400)
    events = heard_in(StreamRecognizer(RATE_HZ, LIVE, script.next), sound)
    assert finals(events) == ["What is on the screen?", "Thank you.", "simulated transcript 1"]
    assert sum(isinstance(event, SpeechStarted) for event in events) == 3


def test_behind_the_end_of_a_script_there_is_sound_without_words() -> None:
    sound = silence(200) + voice(900) + silence(300) + voice(400) + silence(300)
    events = heard_in(StreamRecognizer(RATE_HZ, LIVE, PhraseScript(["Thank you."], ends=True).next), sound)
    assert finals(events) == ["Thank you."]
    assert sum(isinstance(event, SpeechStarted) for event in events) == 2


@pytest.mark.parametrize("chunk_bytes", [321, 1_600, 1_000_000])
def test_how_the_sound_is_cut_changes_nothing_that_is_heard(chunk_bytes: int) -> None:
    sound = silence(200) + voice(900) + silence(300)
    expected = heard_in(StreamRecognizer(RATE_HZ, LIVE, PhraseScript(["a b c"]).next), sound)
    assert heard_in(StreamRecognizer(RATE_HZ, LIVE, PhraseScript(["a b c"]).next), sound, chunk_bytes) == expected


def test_interims_grow_with_the_voice_and_the_final_has_all_words_in_the_voices_time() -> None:
    events = heard_in(
        StreamRecognizer(RATE_HZ, LIVE, PhraseScript(["one two three four five six"]).next), voice(1_800) + silence(200)
    )
    results = [event for event in events if isinstance(event, RecognizedSpeech)]
    assert [len(event.words) for event in results if not event.final] == [2, 4, 6]
    last = next(event for event in results if event.final)
    assert last.speech_final and len(last.words) == 6
    assert (last.words[0].start_ms, last.words[-1].end_ms) == (0, 1_800)


def test_a_pause_ends_a_phrase_only_when_it_is_as_long_as_asked() -> None:
    sound = voice(400) + silence(300) + voice(400) + silence(700)
    counts = []
    for endpointing_ms in (25, 500, None):
        recognizer = StreamRecognizer(RATE_HZ, RecognitionOptions(endpointing_ms=endpointing_ms), PhraseScript().next)
        counts.append(sum(isinstance(e, RecognizedSpeech) and e.speech_final for e in heard_in(recognizer, sound)))
    assert counts == [2, 1, 1]


def test_gaps_between_words_do_not_end_a_phrase_however_short_endpointing_is() -> None:
    sound = (voice(200) + silence(60)) * 4 + silence(200)
    events = heard_in(
        StreamRecognizer(RATE_HZ, RecognitionOptions(endpointing_ms=10), PhraseScript(["four short words here"]).next),
        sound,
    )
    assert finals(events) == ["four short words here"]


def test_an_utterance_ends_once_after_its_own_silence() -> None:
    options = RecognitionOptions(endpointing_ms=100, utterance_end_ms=1_000)
    events = heard_in(StreamRecognizer(RATE_HZ, options, PhraseScript().next), voice(400) + silence(3_000))
    assert [event.last_word_end_ms for event in events if isinstance(event, UtteranceEnded)] == [400]


def test_a_long_speech_comes_in_finals_that_join_to_the_whole() -> None:
    phrase = " ".join(f"w{number}" for number in range(40))
    events = heard_in(StreamRecognizer(RATE_HZ, LIVE, PhraseScript([phrase]).next), voice(12_000) + silence(200))
    assert len(finals(events)) == 3 and " ".join(finals(events)) == phrase
    assert [e.speech_final for e in events if isinstance(e, RecognizedSpeech) and e.final and e.words] == [
        False,
        False,
        True,
    ]


def test_a_flush_tells_what_was_said_so_far_and_says_so() -> None:
    recognizer = StreamRecognizer(RATE_HZ, LIVE, PhraseScript(["cut short"]).next)
    assert recognizer.feed(voice(400)) == [SpeechStarted(at_ms=0)]
    (flushed,) = recognizer.flush(from_finalize=True)
    assert isinstance(flushed, RecognizedSpeech) and flushed.from_finalize and len(flushed.words) == 2
    assert recognizer.flush(from_finalize=True) == []


def test_the_sound_that_came_in_is_counted_to_the_millisecond() -> None:
    recognizer = StreamRecognizer(48_000, LIVE, PhraseScript().next, channels=2)
    for _ in range(7):
        recognizer.feed(bytes(4 * 48 * 13))
    assert recognizer.audio_ms == 91


def test_a_text_sounds_for_as_long_as_it_takes_to_say_and_every_character_has_its_time() -> None:
    speech = ToneVoice("anna", 24_000).synthesize("Hello there, you two.")
    alignment = speech.alignment()
    assert len(speech.pcm) == 2 * 24_000 * 21 // 15
    assert "".join(alignment["chars"]) == "Hello there, you two."
    assert sum(alignment["charDurationsMs"]) == 1_400 and len(alignment["charStartTimesMs"]) == 21


def test_a_text_said_in_pieces_sounds_as_if_said_at_once() -> None:
    pieces = ToneVoice("anna", 16_000)
    first, second = pieces.synthesize("Hello there. "), pieces.synthesize("How are you?")
    assert first.pcm + second.pcm == ToneVoice("anna", 16_000).synthesize("Hello there. How are you?").pcm
    assert second.alignment()["charStartTimesMs"][0] == second.start_ms == round(13_000 / 15)


def test_what_the_voice_says_the_ear_hears() -> None:
    sound = ToneVoice("anna", RATE_HZ).synthesize("Is anybody there?").pcm + silence(300)
    assert finals(heard_in(StreamRecognizer(RATE_HZ, LIVE, PhraseScript(["Is anybody there?"]).next), sound)) == [
        "Is anybody there?"
    ]


def test_a_voice_keeps_its_pitch_and_another_has_another() -> None:
    assert pitch_hz("anna") == pitch_hz("anna") != pitch_hz("bert")
    assert all(110 <= pitch_hz(f"voice {number}") <= 290 for number in range(100))


def context(at_once: bool = False) -> SpeechContext:
    return SpeechContext(voice=ToneVoice("anna", RATE_HZ), at_once=at_once, schedule=(10, 20))


def test_text_is_held_back_until_a_piece_is_long_enough_and_each_piece_by_its_own_measure() -> None:
    held = context()
    taken = [held.take("1234567 ", flush=False) for _ in range(6)]
    assert taken == ["", "1234567 1234567 ", "", "", "1234567 1234567 1234567 ", ""]


def test_a_flush_or_a_context_that_waits_for_nothing_speaks_at_once_but_never_a_mere_space() -> None:
    assert context().take("Hi. ", flush=True) == "Hi. "
    assert context(at_once=True).take("Hi. ", flush=False) == "Hi. "
    assert context(at_once=True).take(" ", flush=True) == ""


def test_what_is_billed_is_the_text_without_the_space_around_it() -> None:
    spoken = context(at_once=True)
    for text in (" ", "Hello there. ", "How are you? ", ""):
        spoken.take(text, flush=False)
    assert spoken.characters == len("Hello there. How are you?")


def test_an_account_spends_up_to_its_limit_and_counts_nothing_beyond() -> None:
    account = CharacterQuota(10)
    assert [account.spend(6), account.spend(6), account.spend(4)] == [True, False, True]
    assert account.used == 10


def test_the_script_has_an_end_to_what_it_holds() -> None:
    script = PhraseScript(["one"])
    with pytest.raises(TooLarge):
        script.add(*["more"] * MAX_PHRASES)
    assert len(script) == 1


@pytest.mark.parametrize(
    ("asked", "pause_ms"), [({}, 100), ({"endpointing": "300"}, 300), ({"endpointing": "false"}, None)]
)
def test_a_query_says_which_pause_ends_a_phrase(asked: dict[str, str], pause_ms: int | None) -> None:
    assert live_options(asked).pause_ms == pause_ms


def test_a_query_that_cannot_be_met_names_its_key() -> None:
    with pytest.raises(BadInput) as failed:
        live_options({"utterance_end_ms": "soon"})
    assert failed.value.param == "utterance_end_ms"
    with pytest.raises(BadInput) as failed:
        rate_hz({"output_format": "mp3_44100_128"})
    assert failed.value.param == "output_format"


def test_what_is_not_sixteen_bit_wav_is_no_sound() -> None:
    assert [read_wav(data) for data in (b"", b"RIFF", b"ID3" + bytes(100))] == [None, None, None]


@pytest.mark.parametrize(("asked", "idle_s"), [(None, 20), ("60", 60), ("9999", 180), ("soon", 20), ("nan", 0.1)])
def test_a_socket_may_be_silent_as_long_as_it_asks_within_bounds(asked: str | None, idle_s: float) -> None:
    assert idle_limit_s(asked) == idle_s
