"""Measures the answers in three sets of labelled meetings in six languages, and the price of doubtful utterances.

No model runs here. Three bounds stand in for the one that is called when an utterance is unsure: it is always right, it
always answers, or it is always silent. The state before each utterance follows the labels, not earlier decisions.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from room_agent.conversation.unsure_turns import UnsureTurns
from room_agent.core.models import Person
from room_agent.intent.addressee import Address, AddresseeContext, find_addressee, names_agent
from room_agent.intent.stop_words import asks_agent_to_stop, asks_to_stop
from routing.catalogue import load_catalogue
from routing.models import Usage

NAMES = ("meetings", "meetings_second", "meetings_third")
SETS = tuple(Path(__file__).parent / "understanding" / f"{name}.jsonl" for name in NAMES)
ANSWER_STARTS_S, ANSWER_LASTS_S, LONG_ANSWER_LASTS_S = 1.0, 8.5, 12.0
"""Both sets say that an answer starts a second after its utterance and lasts 5 to 12 s."""
MODEL, TURN_INPUT_TOKENS, SILENT_TOKENS, ANSWER_TOKENS = "gpt-6-luna", 3_000, 5, 150
GOAL = 0.02

Decision = Literal["addressed", "not addressed", "unsure", "stop"]
Decide = Callable[[str, str, AddresseeContext, float, tuple[str, ...], bool], Decision]
Bound = Literal["right", "answers", "silent"]
BOUNDS: tuple[Bound, ...] = ("right", "answers", "silent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One utterance: its label, the decision, and whether its speaker's voice alone interrupts the answer."""

    meeting: str
    language: str
    text: str = field(repr=False)
    expected: Literal["answer", "silence", "stop"]
    decision: Decision
    debatable: bool
    interrupts: bool
    refused: bool
    """Whether a room's limit of unsure turns was reached."""

    def is_answered(self, bound: Bound) -> bool:
        if self.decision != "unsure" or self.refused:
            return self.decision == "addressed"
        return {"right": self.expected == "answer", "answers": True, "silent": False}[bound]

    @property
    def is_stopped(self) -> bool:
        return self.decision == "stop" or self.interrupts


def decide(
    text: str, speaker: str, context: AddresseeContext, now_s: float, names: tuple[str, ...], speaking: bool
) -> Decision:
    """Return the decision that the conversation manager makes."""
    address: Address = find_addressee(text, speaker, context, now_s, names)
    named = names_agent(text, names)
    if _cuts_in(text, names, speaking) or (address == "addressed" and context.is_alone(speaker) and not named):
        address = "unsure"
    is_meant = address != "not addressed" or speaking
    if asks_agent_to_stop(text, names) or (is_meant and asks_to_stop(text, names)):
        return "stop"
    return address


def _cuts_in(text: str, names: tuple[str, ...], speaking: bool) -> bool:
    return speaking and "?" not in text and names_agent(text, names)


def cases(meetings: Iterable[dict[str, Any]], by: Decide, lasts_s: float = ANSWER_LASTS_S) -> Iterator[Case]:
    for meeting in meetings:
        yield from _cases(meeting, by, lasts_s)


def _cases(meeting: dict[str, Any], by: Decide, lasts_s: float) -> Iterator[Case]:
    names, utterances = tuple(meeting["agent_names"]), meeting["utterances"]
    people = tuple(Person(name, name) for name in dict.fromkeys(one["speaker"] for one in utterances))
    answered, ends_at_s, unsure = None, 0.0, UnsureTurns()
    for one in utterances:
        at_s, speaker, voice = float(one["at_s"]), one["speaker"], one["channel"] == "voice"
        answered_at_s = at_s if one["agent_speaking"] else min(ends_at_s, at_s)
        context = AddresseeContext(people=people, answered=answered, answered_at_s=answered_at_s)
        decision = by(one["text"], speaker, context, at_s, names, one["agent_speaking"])
        yield Case(
            meeting=meeting["id"],
            language=meeting["language"],
            text=one["text"],
            expected=one["expected"],
            decision=decision,
            debatable=one.get("debatable", False),
            interrupts=voice and one["agent_speaking"] and (speaker == answered or _cuts_in(one["text"], names, True)),
            refused=decision == "unsure" and not context.is_alone(speaker) and not unsure.admits(at_s),
        )
        if one["expected"] == "answer":
            answered, ends_at_s = speaker, at_s + ANSWER_STARTS_S + lasts_s
        elif one["expected"] == "stop":
            ends_at_s = at_s


def missed(found: Sequence[Case], bound: Bound) -> float:
    """Return the share of the calls that get no answer."""
    return _share(not one.is_answered(bound) for one in found if one.expected == "answer")


def uncalled(found: Sequence[Case], bound: Bound) -> float:
    """Return the share of all other utterances that get one."""
    return _share(one.is_answered(bound) for one in found if one.expected != "answer")


def unsure_cost_nanousd(answered: bool) -> int:
    """Return the cost of a turn of the cheap model."""
    price = load_catalogue().price(MODEL, dt.date(2026, 11, 30))
    tokens = ANSWER_TOKENS if answered else SILENT_TOKENS
    return price.cost_nanousd(Usage(input_tokens=TURN_INPUT_TOKENS, output_tokens=tokens))


def _share(kept: Iterable[bool]) -> float:
    found = list(kept)
    return sum(found) / len(found) if found else 0.0


def _table(found: Sequence[Case], title: str) -> Table:
    columns = ["language", "utterances", *(f"{kind}, {bound}" for bound in BOUNDS for kind in ("missed", "uncalled"))]
    table = Table(*columns, "unsure", "stops missed", title=title)
    for language in [*dict.fromkeys(one.language for one in found), "all"]:
        part = [one for one in found if language in (one.language, "all")]
        figures = [share(part, bound) for bound in BOUNDS for share in (missed, uncalled)]
        figures += [_share(one.decision == "unsure" for one in part)]
        figures += [_share(not one.is_stopped for one in part if one.expected == "stop")]
        table.add_row(language, str(len(part)), *(f"{100 * figure:.1f} %" for figure in figures))
    return table


def _print_set(meetings: Sequence[dict[str, Any]], title: str, console: Console) -> Sequence[Case]:
    found = list(cases(meetings, decide))
    parts = {
        "Without the debatable utterances, model right": [one for one in found if not one.debatable],
        f"If answers last {LONG_ANSWER_LASTS_S:g} s, model right": list(cases(meetings, decide, LONG_ANSWER_LASTS_S)),
    }
    console.print(_table(found, title))
    unsure = [one for one in found if one.decision == "unsure"]
    cost = sum(unsure_cost_nanousd(one.expected == "answer") for one in unsure)
    cut = sum(one.interrupts and one.expected == "silence" for one in found)
    console.print(
        f"{len(unsure)} unsure turns of {len(found)}, {sum(one.refused for one in found)} over the limit; with {MODEL} "
        f"{cost / 1e9:.4f} USD, {cost / 1e9 / len(found) * 1_000:.3f} USD for 1,000 utterances. "
        f"{cut} remarks that were to leave the agent speaking interrupt it if they are longer than 0.4 s."
    )
    for name, part in parts.items():
        console.print(
            f"{name}: missed {100 * missed(part, 'right'):.1f} %, uncalled {100 * uncalled(part, 'right'):.1f} %"
        )
    return found


def _print_errors(found: Sequence[Case], console: Console) -> None:
    """Print the errors that no model mends."""
    for one in found:
        wrong = one.decision != "unsure" and one.is_answered("right") != (one.expected == "answer")
        wrong |= one.refused and one.expected == "answer"
        if wrong or (one.expected == "stop" and not one.is_stopped):
            console.print(f"{one.meeting} expected {one.expected}, {one.decision}: {one.text}", markup=False)


def main() -> int:
    """Print a table for each set; return 1 if the model that is always right misses the goal in one."""
    console, missing = Console(width=160), False
    for path in SETS:
        meetings = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        found = _print_set(meetings, path.stem, console)
        if "--list" in sys.argv:
            _print_errors(found, console)
        missing |= max(missed(found, "right"), uncalled(found, "right")) > GOAL
    return int(missing)


if __name__ == "__main__":
    sys.exit(main())
