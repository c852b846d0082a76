"""Microphones share the places there are, by participant."""

from __future__ import annotations

from room_agent.audio.tracks import PublishedMicrophone, share


def microphone(sid: str, muted: bool = False) -> PublishedMicrophone:
    """Return one of the participant that its id begins with."""
    return PublishedMicrophone(sid=sid, identity=sid[0], muted=muted)


def heard(live: list[PublishedMicrophone], already: str = "", most: int = 4) -> str:
    return " ".join(sorted(one.sid for one in share(live, already.split(), most)))


def test_four_microphones_of_one_do_not_silence_the_next_one_who_comes() -> None:
    loud = [microphone(f"b{number}") for number in range(4)]
    assert heard(loud) == "b0 b1 b2 b3"
    assert heard([*loud, microphone("a0")], already="b0 b1 b2 b3") == "a0 b0 b1 b2"
    assert heard([*loud, microphone("a0"), microphone("a1"), microphone("a2")], already="b0 b1 b2 b3") == "a0 a1 b0 b1"


def test_who_is_heard_stays_heard_where_others_have_no_better_claim() -> None:
    assert heard([microphone("a0"), microphone("b0"), microphone("c0")], already="b0 c0", most=2) == "b0 c0"


def test_a_muted_microphone_keeps_its_place_until_somebody_needs_it() -> None:
    pressed = microphone("a0", muted=True)
    assert heard([pressed, microphone("b0")], already="a0", most=2) == "a0 b0"
    assert heard([pressed, microphone("b0"), microphone("c0")], already="a0 b0", most=2) == "b0 c0"
    assert heard([pressed, microphone("b0")], already="b0", most=2) == "b0"


def test_a_second_microphone_is_heard_where_the_first_one_is_muted() -> None:
    assert heard([microphone("a0", muted=True), microphone("a1"), microphone("b0")], already="a0", most=2) == "a1 b0"
