"""Check that participants share the limited number of transcribed microphones."""

from __future__ import annotations

from room_agent.audio.tracks import PublishedMicrophone, select


def microphone(sid: str, muted: bool = False) -> PublishedMicrophone:
    """Return a microphone; its participant is named by the first letter of its id."""
    return PublishedMicrophone(sid=sid, identity=sid[0], muted=muted)


def selected(microphones: list[PublishedMicrophone], selected_before: str = "", max_microphones: int = 4) -> str:
    return " ".join(sorted(chosen.sid for chosen in select(microphones, selected_before.split(), max_microphones)))


def test_four_microphones_of_one_participant_do_not_exclude_the_next_participant() -> None:
    bobs = [microphone(f"b{number}") for number in range(4)]
    assert selected(bobs) == "b0 b1 b2 b3"
    assert selected([*bobs, microphone("a0")], selected_before="b0 b1 b2 b3") == "a0 b0 b1 b2"
    assert (
        selected([*bobs, microphone("a0"), microphone("a1"), microphone("a2")], selected_before="b0 b1 b2 b3")
        == "a0 a1 b0 b1"
    )


def test_a_selected_microphone_stays_selected_among_equals() -> None:
    assert (
        selected([microphone("a0"), microphone("b0"), microphone("c0")], selected_before="b0 c0", max_microphones=2)
        == "b0 c0"
    )


def test_a_muted_microphone_stays_selected_until_another_needs_its_place() -> None:
    muted_microphone = microphone("a0", muted=True)
    assert selected([muted_microphone, microphone("b0")], selected_before="a0", max_microphones=2) == "a0 b0"
    assert (
        selected([muted_microphone, microphone("b0"), microphone("c0")], selected_before="a0 b0", max_microphones=2)
        == "b0 c0"
    )
    assert selected([muted_microphone, microphone("b0")], selected_before="b0", max_microphones=2) == "b0"


def test_a_second_microphone_is_selected_if_the_first_one_is_muted() -> None:
    assert (
        selected(
            [microphone("a0", muted=True), microphone("a1"), microphone("b0")], selected_before="a0", max_microphones=2
        )
        == "a1 b0"
    )
