"""Check that metered amounts become events that are billed once, whenever the router accepts them."""

from __future__ import annotations

import random

from room_agent.core.router_client import HeartbeatResult
from room_agent.usage.events import MAX_EVENTS
from room_agent.usage.meter import AudioDuration, SpeechMeter
from room_agent.usage.tts_characters import TtsCharacterCount


def new_meter() -> SpeechMeter:
    return SpeechMeter(lambda: 1_700_000_000.0)


def test_an_event_keeps_its_id_and_its_amount_until_the_router_accepts_it() -> None:
    meter = new_meter()
    meter.count(("stt", "nova-3", ""), 1_200)
    meter.count(("tts", "eleven_flash_v2_5", ""), 17)
    first = meter.due()
    meter.count(("stt", "nova-3", ""), 300)
    second = meter.due()
    assert second[:2] == first and [event.audio_ms for event in second] == [1_200, 0, 300]
    meter.taken([event.id for event in first])
    assert [event.audio_ms for event in meter.due()] == [300]
    assert meter.unbilled == {"stt": 300, "tts": 0}


def test_two_runs_of_one_job_share_no_id() -> None:
    meters = new_meter(), new_meter()
    for meter in meters:
        meter.count(("stt", "nova-3", ""), 1)
    assert meters[0].due()[0].id != meters[1].due()[0].id


def test_no_usage_is_dropped_while_the_router_accepts_none() -> None:
    meter = new_meter()
    for _ in range(3 * MAX_EVENTS):
        meter.count(("stt", "nova-3", ""), 20)
        due = meter.due()
    assert len(due) == MAX_EVENTS and sum(event.audio_ms for event in due) == MAX_EVENTS * 20
    meter.taken([event.id for event in due])
    assert sum(event.audio_ms for event in meter.due()) == 2 * MAX_EVENTS * 20


def test_an_amount_above_the_limit_of_one_event_is_split() -> None:
    meter = new_meter()
    meter.count(("tts", "eleven_flash_v2_5", ""), 1_500_000)
    assert [event.characters for event in meter.due()] == [1_000_000]
    assert [event.characters for event in meter.due()] == [1_000_000, 500_000]


def test_an_amount_refused_after_its_event_is_deducted_from_the_next_one() -> None:
    meter = new_meter()
    meter.count(("stt", "nova-3", ""), 50)
    events = meter.due()
    meter.count(("stt", "nova-3", ""), -50)
    assert meter.due() == events and not meter.settled and meter.unbilled == {"stt": 50, "tts": 0}
    meter.taken([event.id for event in events])
    assert meter.due() == [] and meter.settled
    meter.count(("stt", "nova-3", ""), 70)
    assert [event.audio_ms for event in meter.due()] == [20]


def test_an_amount_of_zero_makes_no_event() -> None:
    meter = new_meter()
    meter.count(("stt", "nova-3", ""), 0)
    assert meter.due() == []


def test_durations_of_chunks_add_up_to_the_duration_of_the_audio() -> None:
    rng = random.Random(5)
    for _ in range(50):
        duration, sizes = AudioDuration(16_000), [2 * rng.randrange(1, 900) for _ in range(200)]
        assert sum(duration.add(size) for size in sizes) == round(sum(sizes) * 1_000 / 32_000)


def test_characters_of_chunks_add_up_to_the_stripped_text() -> None:
    rng = random.Random(6)
    for _ in range(200):
        chunks = ["".join(rng.choice("ab \n") for _ in range(rng.randrange(6))) for _ in range(8)]
        text = TtsCharacterCount()
        assert sum(text.add(chunk) for chunk in chunks) == len("".join(chunks).strip())


def test_usage_that_the_router_set_aside_is_not_sent_again() -> None:
    aside = [{"id": "b", "param": "usage.1.model", "message": "?"}, {"id": None, "param": "usage.2", "message": "?"}]
    result = HeartbeatResult.model_validate({"taken": ["a"], "set_aside": aside})
    assert result.settled == ("a", "b")


def test_each_speaker_has_events_of_their_own_and_nothing_stays_of_those_who_are_billed() -> None:
    meter = new_meter()
    for number in range(5):
        meter.count(("stt", "nova-3", f"p{number % 2}"), 10)
    events = meter.due()
    assert [(event.participant, event.audio_ms) for event in events] == [("p0", 30), ("p1", 20)]
    meter.taken([event.id for event in events])
    assert meter.settled and not meter._pending
