"""A model's silence is recognised in any dress, and no word of an answer is lost or said too early."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from room_agent.intent.silence import INSTRUCTION, MAX_HELD_CHARS, SILENCE, words_unless_silent


async def said(pieces: Sequence[str]) -> list[str]:
    async def words() -> AsyncIterator[str]:
        for piece in pieces:
            yield piece

    return [piece async for piece in words_unless_silent(words())]


@pytest.mark.parametrize(
    "pieces",
    [
        [SILENCE],
        ["<", "sil", "ent", ">", "\n"],
        ["  `<SILENT>`."],
        ["<Silent> ", "Bob was asked, ", "not me."],
        ["[silent]"],
        ["Silent."],
        ["**<silent>**"],
        ["< silent />"],
        [],
        ["\n", " "],
    ],
)
async def test_a_silent_answer_says_nothing(pieces: list[str]) -> None:
    assert await said(pieces) == []


@pytest.mark.parametrize(
    "pieces",
    [["For", "ty two."], ["S", "ilent mode is on."], ["<silently>"], ["Silently, he left."], ["Si", "."], ["42"]],
)
async def test_any_other_answer_is_said_whole(pieces: list[str]) -> None:
    assert "".join(await said(pieces)) == "".join(pieces)


async def test_an_answer_is_held_only_until_it_differs_from_silence() -> None:
    assert await said(["<", "sil", "ver>", " is", " dear."]) == ["<silver>", " is", " dear."]
    assert await said([" " * (MAX_HELD_CHARS + 1), "Forty", " two."]) == [" " * (MAX_HELD_CHARS + 1) + "Forty", " two."]


def test_the_instruction_names_the_token_once_at_its_end() -> None:
    assert INSTRUCTION.endswith(SILENCE) and INSTRUCTION.count(SILENCE) == 1
