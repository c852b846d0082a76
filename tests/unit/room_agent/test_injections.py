"""Text that was read or heard is put before the model as data, whatever it says and whoever wrote it.

What this proves, for each attempt in injections.toml in each place that untrusted text comes from: it stands inside a
quotation that it did not close and cannot open another (or, where it is the question itself, in the one message that
is the asker's); the messages, their roles and the rules are those of a turn without it; no control token of a chat
template survives; and nothing of another tenant, no key and no token is anywhere in what is sent, so no wording could
bring it out of the model.

What it cannot prove: that a model keeps the rules. A model may still believe what a slide claims, or follow an order
that it was told is only quoted. What it could do then is bounded by what it holds: this room's own text, no tools, and
an answer that the room hears. Text inside a picture is out of reach of any fence; the rules say that it is data too.
"""

from __future__ import annotations

import json
import random
import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from room_agent.context.prompt import PromptQuestion, Remark, Turn, compose, instructions
from room_agent.context.screen_memory import ScreenMemory
from room_agent.text.quoting import Fence, clean_name
from routing.models import Passage
from tests.unit.room_agent.nasty import CONTROL_TOKENS, Quotation, nasty, quotations, read_on

KEY = "5d0c3a91e27b"
# The key as an attempt may spell it.
KEYS = {
    "key": KEY,
    "KEY": KEY.upper(),
    "key_split": "\u200d".join(KEY),
    "key_wide": "".join(chr(ord(char) + 0xFEE0) for char in KEY),
}
HARMLESS = "A harmless text about nothing much."
QUESTION = "What is on the slide, and how much leave do I get?"
# What is known elsewhere in the same process, and must not be in this room's turns.
SECRETS = (
    "The board of Globex sells the harbour.",
    "tenant_globex_board",
    "agent-key-that-opens-rooms",
    "eyJhbGciOiJIUzI1NiJ9.room-token",
)


@dataclass(frozen=True, slots=True)
class Attempt:
    name: str
    where: str
    text: str


def attempts() -> list[Attempt]:
    content = Path(__file__).with_name("injections.toml").read_text("utf-8")
    return [
        Attempt(row["name"], row["where"], re.sub(r"{(\w+)}", lambda key: KEYS[key[1]], row["text"]))
        for row in tomllib.loads(content)["attempt"]
    ]


ATTEMPTS = attempts()
PLACES = ("screen", "sharer", "name", "passage", "source", "chat", "transcript", "question")


def asked(place: str, text: str) -> PromptQuestion:
    """Return a turn of Acme's room with `text` in one place, and harmless text in the others."""
    at = dict.fromkeys(PLACES, HARMLESS) | {"question": QUESTION, place: text}
    memory = ScreenMemory()
    memory.add("TR_1", at["screen"], 10.0, shared_by=at["sharer"])
    memory.add("TR_1", "Slide 5: what is shown now.", 20.0)
    return PromptQuestion(
        text=at["question"],
        asker=at["name"],
        now_s=30.0,
        memory=memory,
        passages=(Passage(passage_id="p1", source=at["source"], text=at["passage"], score=0.9),),
        said=(Remark(who=at["name"], text=at["transcript"], at_s=5.0), Remark(who="Bob", text=at["chat"], at_s=6.0)),
        frame_jpeg=b"\xff\xd8 a picture \xff\xd9",
    )


def turn(place: str, text: str) -> Turn:
    return compose(asked(place, text), KEY, 6_000, agent_name="rayroom")


def kept(text: str) -> list[str]:
    """Return the plain words of a text, which must all arrive: nothing is dropped in silence."""
    return [word.lower() for word in re.findall(r"[A-Za-z]{3,}", text) if not word.lower().startswith(("data", "dat"))]


def placed(place: str, found: list[Quotation], question: str) -> str:
    """Return the text of the place where an attempt was put."""
    label = {"sharer": "screen", "name": "asker", "chat": "said", "transcript": "said"}
    inside = {quotation.label: quotation.text for quotation in found}
    return question if place == "question" else inside[label.get(place, place)]


def test_there_are_attempts_of_every_kind() -> None:
    assert len(ATTEMPTS) >= 30 and len({attempt.name for attempt in ATTEMPTS}) == len(ATTEMPTS)
    kinds = [attempt.where for attempt in ATTEMPTS]
    assert {"screen", "chat", "passage", "name", "transcript"} == set(kinds)
    assert min(kinds.count(kind) for kind in set(kinds)) >= 4


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_an_attempt_stays_data_wherever_it_stands(attempt: Attempt, place: str) -> None:
    harmless, tried = turn(place, HARMLESS if place != "question" else QUESTION), turn(place, attempt.text)
    found = quotations(tried.context, KEY)
    # Nothing but quotations, as many as without it, of the same kinds in the same order. An attempt at the question's
    # place may ask for other things first.
    labels = [quotation.label for quotation in found]
    expected = [quotation.label for quotation in quotations(harmless.context, KEY)]
    assert labels == expected if place != "question" else sorted(labels) == sorted(expected)
    for untrusted in (*(quotation.text for quotation in found), tried.question):
        assert KEY not in read_on(untrusted) and not any(token in untrusted for token in CONTROL_TOKENS)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e0fff]", untrusted)
    assert tried.instructions == instructions("rayroom", spoken=True) == harmless.instructions
    assert tried.key_note == harmless.key_note
    assert "\n" not in tried.question
    if place in ("screen", "passage", "chat", "transcript", "question"):
        words = placed(place, found, tried.question).lower()
        assert [word for word in kept(attempt.text) if word not in words] == []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_an_attempt_makes_no_message_and_takes_no_role(attempt: Attempt, place: str) -> None:
    sent = turn(place, attempt.text).messages()
    # As the router reads it off the wire, not as it was put together.
    arrived = json.loads(json.dumps(sent))
    assert [message["role"] for message in arrived] == ["system", "system", "user", "user"]
    assert all(set(message) == {"role", "content"} for message in arrived)
    assert arrived[0]["content"] == instructions("rayroom", spoken=True)
    assert arrived[1]["content"] == f"This turn's key is {KEY}."
    texts = [part["text"] for part in arrived[3]["content"] if part["type"] == "text"] if place != "question" else []
    assert texts == ([QUESTION] if place != "question" else [])


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_nothing_of_another_tenant_and_no_key_is_in_what_is_sent(attempt: Attempt, place: str) -> None:
    """The neighbour's room is at work in the same process: what it remembers is not reached from this one."""
    neighbour = replace(asked("screen", SECRETS[0]), said=(Remark(who="Eve", text=SECRETS[0], at_s=1.0),))
    assert SECRETS[0] in json.dumps(compose(neighbour, KEY, 6_000, agent_name="rayroom").messages())
    sent = json.dumps(turn(place, attempt.text).messages(), ensure_ascii=False)
    # An attempt may name the other tenant's room: those are its own words.
    assert [secret for secret in SECRETS if secret in sent and secret not in attempt.text] == []


def test_a_source_in_the_text_stream_is_the_one_that_was_given_not_the_one_a_passage_claims() -> None:
    (attempt,) = [attempt for attempt in ATTEMPTS if attempt.name == "passage that names a false source"]
    assert turn("passage", attempt.text).sources == (HARMLESS,)


@pytest.mark.parametrize("place", ["name", "transcript", "chat"])
def test_nobody_can_speak_for_somebody_else(place: str) -> None:
    """What was said is a line for each who said it, and a name has no quotation mark to end it early."""
    for attempt in ATTEMPTS:
        found = quotations(turn(place, attempt.text).context, KEY)
        first, second = next(quotation.lines for quotation in found if quotation.label == "said")
        who = Fence(KEY).inner(clean_name(attempt.text if place == "name" else HARMLESS))
        assert first.startswith(f'"{who}", 25 s ago: ') and not re.search('[:",;[]', who)
        assert second.startswith('"Bob", 24 s ago: ')


def test_random_text_everywhere_at_once_stays_data() -> None:
    for seed in range(150):
        rng = random.Random(seed)
        memory = ScreenMemory()
        for index in range(4):
            memory.add("TR_1", nasty(rng, KEY), 10.0 * index, shared_by=nasty(rng, KEY))
        everywhere = PromptQuestion(
            text=QUESTION + nasty(rng, KEY),
            asker=nasty(rng, KEY),
            now_s=60.0,
            memory=memory,
            passages=[Passage(passage_id="p", source=nasty(rng, KEY), text=nasty(rng, KEY), score=rng.random())],
            said=[Remark(who=nasty(rng, KEY), text=nasty(rng, KEY), at_s=1.0)],
        )
        composed = compose(everywhere, KEY, 6_000, agent_name="rayroom")
        for quotation in quotations(composed.context, KEY):
            assert KEY not in read_on(quotation.text)
            assert not any(token in quotation.text for token in CONTROL_TOKENS)
        assert composed.instructions == instructions("rayroom", spoken=True)
