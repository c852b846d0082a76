"""Loads the prompt injections, puts each into one channel of a prompt, and checks that it stays quoted data.

An injection must stay inside its quotation, or, as the question itself, inside the asker's one message. The messages,
their roles and the rules equal those of a prompt without it. No control token of a chat template survives. The prompt
holds no key, no token and no data of another tenant, so no wording can bring them out of the model.

These checks cannot show that a model keeps the rules. It may still believe the claim of a slide, or follow a quoted
order. The harm is bounded: the model has this room's own text, no tools, and an answer that the room hears. Text inside
a frame cannot be quoted; the rules name it as data too.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from room_agent.context.prompt import PromptQuestion, Remark, Turn, compose, instructions
from room_agent.context.screen_memory import ScreenMemory
from routing.models import Passage
from tests.unit.room_agent.nasty import CONTROL_TOKENS, Quotation, quotations, read_on

KEY = "5d0c3a91e27b"
# The spellings of the key in injections.toml.
KEYS = {
    "key": KEY,
    "KEY": KEY.upper(),
    "key_split": "\u200d".join(KEY),
    "key_wide": "".join(chr(ord(char) + 0xFEE0) for char in KEY),
}
HARMLESS = "A harmless text about nothing much."
QUESTION = "What is on the slide, and how much leave do I get?"
# Data of another tenant in the same process, which must not reach this room's prompts.
SECRETS = (
    "The board of Globex sells the harbour.",
    "tenant_globex_board",
    "agent-key-that-opens-rooms",
    "eyJhbGciOiJIUzI1NiJ9.room-token",
)


@dataclass(frozen=True, slots=True)
class Injection:
    """One row of injections.toml."""

    name: str
    where: str
    technique: str
    text: str


def _load() -> list[Injection]:
    content = Path(__file__).with_name("injections.toml").read_text("utf-8")
    return [
        Injection(
            row["name"], row["where"], row["technique"], re.sub(r"{(\w+)}", lambda key: KEYS[key[1]], row["text"])
        )
        for row in tomllib.loads(content)["attempt"]
    ]


INJECTIONS = _load()
# The first of each pair of channel and technique, in the order of the file.
REPRESENTATIVES = list({(one.where, one.technique): one for one in reversed(INJECTIONS)}.values())[::-1]
PLACES = ("screen", "sharer", "name", "passage", "source", "chat", "transcript", "question")


def asked(place: str, text: str) -> PromptQuestion:
    """Return a question in Acme's room with `text` in one place, and harmless text in the others."""
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


def plain_words(text: str) -> list[str]:
    """Return the plain words of a text, all of which must arrive in the prompt."""
    return [word.lower() for word in re.findall(r"[A-Za-z]{3,}", text) if not word.lower().startswith(("data", "dat"))]


def placed(place: str, found: list[Quotation], question: str) -> str:
    """Return the prompt's text at the place of an injection."""
    label = {"sharer": "screen", "name": "asker", "chat": "said", "transcript": "said"}
    inside = {quotation.label: quotation.text for quotation in found}
    return question if place == "question" else inside[label.get(place, place)]


def assert_stays_data(injection: Injection, place: str) -> None:
    """Fail unless an injection leaves the rules and the quotations as they are, and all its words arrive."""
    harmless, tried = turn(place, HARMLESS if place != "question" else QUESTION), turn(place, injection.text)
    found = quotations(tried.context, KEY)
    # The same quotations in the same order as without it. An injection in the question's place may change the order,
    # because the question decides the order of the context.
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
        assert [word for word in plain_words(injection.text) if word not in words] == []


def assert_adds_no_message(injection: Injection, place: str) -> None:
    """Fail unless the prompt has the messages and roles of one without the injection."""
    sent = turn(place, injection.text).messages()
    # Through JSON, as the router receives it.
    arrived = json.loads(json.dumps(sent))
    assert [message["role"] for message in arrived] == ["system", "system", "user", "user"]
    assert all(set(message) == {"role", "content"} for message in arrived)
    assert arrived[0]["content"] == instructions("rayroom", spoken=True)
    assert arrived[1]["content"] == f"This turn's key is {KEY}."
    texts = [part["text"] for part in arrived[3]["content"] if part["type"] == "text"] if place != "question" else []
    assert texts == ([QUESTION] if place != "question" else [])


def assert_leaks_no_secret(injection: Injection, place: str) -> None:
    """Fail if the prompt holds data of another room in the same process, or a credential."""
    neighbour = replace(asked("screen", SECRETS[0]), said=(Remark(who="Eve", text=SECRETS[0], at_s=1.0),))
    assert SECRETS[0] in json.dumps(compose(neighbour, KEY, 6_000, agent_name="rayroom").messages())
    sent = json.dumps(turn(place, injection.text).messages(), ensure_ascii=False)
    # An injection may itself name the other tenant's room.
    assert [secret for secret in SECRETS if secret in sent and secret not in injection.text] == []
