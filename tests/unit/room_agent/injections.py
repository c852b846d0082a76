"""Load the prompt injections, put each into one channel of a prompt, and check that it stays quoted data.

An injection must stay inside its quotation, or, as the question itself, inside the asker's one message. The messages,
their roles and the rules equal those of a prompt without it. No control token of a chat template survives. The prompt
holds no key, no token and no data of another tenant, so no wording can bring them out of the model.

These checks cannot show that a model keeps the rules. It may still believe the claim of a slide, or follow a quoted
order. The harm is bounded: the model has this room's own text, the tools of its tenant, of which none changes anything
without a person's yes, and an answer that the room hears. Text inside a frame cannot be quoted; the rules name it as
data too.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from room_agent.context.pictures import TrackPicture
from room_agent.context.prompt import AgentManner, PromptQuestion, Remark, Turn, compose, instructions
from room_agent.context.screen_memory import ScreenMemory
from routing.models import Passage
from tests.unit.room_agent.hostile_text import CONTROL_TOKENS, Quotation, as_read_by_model, quotations

KEY = "5d0c3a91e27b"
AGENT = AgentManner(name="rayroom", spoken=True)
# The spellings of the key in injections.toml.
KEYS = {
    "key": KEY,
    "KEY": KEY.upper(),
    "key_split": "\u200d".join(KEY),
    "key_wide": "".join(chr(ord(char) + 0xFEE0) for char in KEY),
}
LABELLED_CHANNELS = {
    "screen": "screen",
    "transcript": "transcript",
    "chat": "chat",
    "knowledge": "passage",
    "participant_name": "name",
    "tool_result": "tool",
    "tool_description": "tool",
    "tool_name": "tool",
    "persona": "company",
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
    """One row of injections.toml or of labelled_injections.jsonl."""

    name: str
    channel: str
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


def _load_labelled() -> list[Injection]:
    """Return the hostile texts in six languages by somebody who had not seen the rules."""
    lines = Path(__file__).with_name("labelled_injections.jsonl").read_text("utf-8").splitlines()
    return [
        Injection(row["id"], LABELLED_CHANNELS[row["channel"]], f"labelled: {row['aim']}", row["text"])
        for row in map(json.loads, lines)
    ]


INJECTIONS = [*_load(), *_load_labelled()]
# The first of each pair of channel and technique, in the order of the file.
REPRESENTATIVES = list(
    {(injection.channel, injection.technique): injection for injection in reversed(INJECTIONS)}.values()
)[::-1]
CHANNELS = (
    "screen",
    "other screen",
    "sharer",
    "other sharer",
    "name",
    "passage",
    "source",
    "chat",
    "transcript",
    "question",
)


def question_with(channel: str, text: str) -> PromptQuestion:
    """Return a question in Acme's room with `text` in one channel, and harmless text in the others."""
    texts = dict.fromkeys(CHANNELS, HARMLESS) | {"question": QUESTION, channel: text}
    memory = ScreenMemory()
    memory.add("TR_1", texts["screen"], 10.0, shared_by=texts["sharer"])
    memory.add("TR_1", "Slide 5: what is shown now.", 20.0)
    memory.add("TR_2", texts["other screen"], 21.0, shared_by=texts["other sharer"])
    memory.add("TR_3", "Slide 1 of the third share.", 22.0, shared_by=texts["other sharer"])
    return PromptQuestion(
        text=texts["question"],
        asker=texts["name"],
        now_s=30.0,
        memory=memory,
        passages=(Passage(passage_id="p1", source=texts["source"], text=texts["passage"], score=0.9),),
        remarks=(
            Remark(speaker=texts["name"], text=texts["transcript"], at_s=5.0),
            Remark(speaker="Bob", text=texts["chat"], at_s=6.0),
        ),
        pictures=[
            TrackPicture(
                track=track,
                label=memory.label(track, "screen_share", ""),
                source="screen_share",
                identity=track,
                jpeg=b"\xff\xd8 a picture \xff\xd9",
                size_px=(1_152, 720),
                changed_at_s=20.0,
            )
            for track in ("TR_1", "TR_2", "TR_3")
        ],
    )


def turn(channel: str, text: str) -> Turn:
    return compose(question_with(channel, text), KEY, 6_000, AGENT)


def plain_words(text: str) -> list[str]:
    """Return the plain words of a text, all of which must arrive in the prompt."""
    return [word.lower() for word in re.findall(r"[A-Za-z]{3,}", text) if not word.lower().startswith(("data", "dat"))]


def text_at(channel: str, parsed: list[Quotation], question: str) -> str:
    """Return the prompt's text from the channel of an injection."""
    label = {
        "other screen": "screen",
        "sharer": "picture",
        "other sharer": "picture",
        "name": "asker",
        "chat": "said",
        "transcript": "said",
    }
    texts = {quotation.label: quotation.text for quotation in parsed}
    return question if channel == "question" else texts[label.get(channel, channel)]


def assert_stays_data(injection: Injection, channel: str) -> None:
    """Fail unless an injection leaves the rules and the quotations as they are, and all its words arrive."""
    harmless, attacked = turn(channel, HARMLESS if channel != "question" else QUESTION), turn(channel, injection.text)
    parsed = quotations(attacked.context, KEY)
    # The same quotations in the same order as without it, and a line for each of the three pictures.
    labels = [quotation.label for quotation in parsed]
    assert labels == [quotation.label for quotation in quotations(harmless.context, KEY)]
    assert [line[:11] for line in parsed[0].lines] == [f"{number}: screen {number}" for number in (1, 2, 3)]
    for untrusted in (*(quotation.text for quotation in parsed), attacked.question):
        assert KEY not in as_read_by_model(untrusted) and not any(token in untrusted for token in CONTROL_TOKENS)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e0fff]", untrusted)
    assert attacked.instructions == instructions(AGENT) == harmless.instructions
    assert attacked.key_note == harmless.key_note
    assert "\n" not in attacked.question
    if channel in ("screen", "other screen", "passage", "chat", "transcript", "question"):
        words = text_at(channel, parsed, attacked.question).lower()
        assert [word for word in plain_words(injection.text) if word not in words] == []


def assert_adds_no_message(injection: Injection, channel: str) -> None:
    """Fail unless the prompt has the messages and roles of one without the injection."""
    sent = turn(channel, injection.text).messages()
    # Through JSON, as the router receives it.
    messages = json.loads(json.dumps(sent))
    assert [message["role"] for message in messages] == ["system", "system", "user", "user"]
    assert all(set(message) == {"role", "content"} for message in messages)
    assert messages[0]["content"] == instructions(AGENT)
    assert messages[1]["content"] == f"This turn's key is {KEY}."
    texts = [part["text"] for part in messages[3]["content"] if part["type"] == "text"] if channel != "question" else []
    assert texts == ([QUESTION] if channel != "question" else [])


def assert_leaks_no_secret(injection: Injection, channel: str) -> None:
    """Fail if the prompt holds data of another room in the same process, or a credential."""
    other_question = replace(
        question_with("screen", SECRETS[0]), remarks=(Remark(speaker="Eve", text=SECRETS[0], at_s=1.0),)
    )
    assert SECRETS[0] in json.dumps(compose(other_question, KEY, 6_000, AGENT).messages())
    sent = json.dumps(turn(channel, injection.text).messages(), ensure_ascii=False)
    # An injection may itself name the other tenant's room.
    assert [secret for secret in SECRETS if secret in sent and secret not in injection.text] == []
