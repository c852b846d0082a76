"""Check that metered amounts become events that are billed once, whenever the router takes them."""

from __future__ import annotations

import random

from room_agent.usage.events import MAX_EVENTS
from room_agent.usage.meter import AudioDuration, SpeechMeter
from room_agent.usage.tts_characters import TtsCharacterCount


def meter() -> SpeechMeter:
    return SpeechMeter(lambda: 1_700_000_000.0)


def test_an_event_keeps_its_id_and_its_amount_until_the_router_accepts_it() -> None:
    speech = meter()
    speech.count("stt", "nova-3", 1_200)
    speech.count("tts", "eleven_flash_v2_5", 17)
    first = speech.due()
    speech.count("stt", "nova-3", 300)
    again = speech.due()
    assert again[:2] == first and [event.audio_ms for event in again] == [1_200, 0, 300]
    speech.taken([event.id for event in first])
    assert [event.audio_ms for event in speech.due()] == [300]
    assert speech.unbilled == {"stt": 300, "tts": 0}


def test_two_runs_of_one_job_share_no_id() -> None:
    speeches = meter(), meter()
    for speech in speeches:
        speech.count("stt", "nova-3", 1)
    assert speeches[0].due()[0].id != speeches[1].due()[0].id


def test_no_usage_is_dropped_while_the_router_accepts_none() -> None:
    speech = meter()
    for _ in range(3 * MAX_EVENTS):
        speech.count("stt", "nova-3", 20)
        due = speech.due()
    assert len(due) == MAX_EVENTS and sum(event.audio_ms for event in due) == MAX_EVENTS * 20
    speech.taken([event.id for event in due])
    assert sum(event.audio_ms for event in speech.due()) == 2 * MAX_EVENTS * 20


def test_an_amount_above_the_limit_of_one_event_is_split() -> None:
    speech = meter()
    speech.count("tts", "eleven_flash_v2_5", 1_500_000)
    assert [event.characters for event in speech.due()] == [1_000_000]
    assert [event.characters for event in speech.due()] == [1_000_000, 500_000]


def test_an_amount_refused_after_its_event_is_deducted_from_the_next_one() -> None:
    speech = meter()
    speech.count("stt", "nova-3", 50)
    sealed = speech.due()
    speech.count("stt", "nova-3", -50)
    assert speech.due() == sealed and not speech.settled and speech.unbilled == {"stt": 50, "tts": 0}
    speech.taken([event.id for event in sealed])
    assert speech.due() == [] and speech.settled
    speech.count("stt", "nova-3", 70)
    assert [event.audio_ms for event in speech.due()] == [20]


def test_an_amount_of_zero_makes_no_event() -> None:
    speech = meter()
    speech.count("stt", "nova-3", 0)
    assert speech.due() == []


def test_durations_of_chunks_add_up_to_the_duration_of_the_audio() -> None:
    rng = random.Random(5)
    for _ in range(50):
        duration, sizes = AudioDuration(16_000), [2 * rng.randrange(1, 900) for _ in range(200)]
        assert sum(duration.add(size) for size in sizes) == round(sum(sizes) * 1_000 / 32_000)


def test_characters_of_chunks_add_up_to_the_stripped_text() -> None:
    rng = random.Random(6)
    for _ in range(200):
        pieces = ["".join(rng.choice("ab \n") for _ in range(rng.randrange(6))) for _ in range(8)]
        text = TtsCharacterCount()
        assert sum(text.add(piece) for piece in pieces) == len("".join(pieces).strip())
