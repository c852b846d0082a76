"""Decide the next step for a window from the backend's answer to it: done, another try, or parked."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, replace
from typing import Literal

from routing.errors import BackendError
from routing.models import FlushRow
from routing.retry import backoff_s

FIRST_WAIT_S = 5.0
LONGEST_WAIT_S = 600.0
"""The waits of one window between its own tries. The windows of other tenants go on meanwhile."""
REFUSALS_TO_PARK = 2

AnswerKind = Literal["inserted", "duplicate", "stored", "later", "refused"]


class CallTooLarge(BackendError):
    """The backend does not accept a call of this size."""

    code = "backend_call_too_large"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowAnswer:
    """The backend's answer for one window.

    "inserted"   stored by this call
    "duplicate"  stored by an earlier call; this one changed nothing
    "stored"     stored, by a backend that does not tell the two apart
    "later"      not stored; the same window may be stored later
    "refused"    not stored; the backend rejects the window as it is
    """

    kind: AnswerKind
    reason: str = ""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueRow:
    """A window that is due, and the history of its sending."""

    row: FlushRow
    first_send: bool
    """Whether no call carried the window before, so that the backend cannot have it yet."""
    tries: int = 0
    refusals: int = 0
    refused_since_s: float | None = None
    alone: bool = False
    """Whether the window gets a call of its own, because it failed a call that it shared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowStep:
    """The state of a window after a call. A stored window with `alarm` was a duplicate on its first send."""

    due: DueRow
    kind: Literal["stored", "wait", "park"]
    reason: str = ""
    next_try_s: float = 0.0
    alarm: bool = False


def next_step(
    due: DueRow, answer: RowAnswer, call_rows: int, now_s: float, park_after_s: float, rng: random.Random
) -> RowStep:
    """Return the step after `answer`, which came to a call of `call_rows` windows.

    A refusal counts only for a window that was alone in its call. The second one, `park_after_s` or more after the
    first, parks the window.
    """
    if answer.kind in ("inserted", "duplicate", "stored"):
        return RowStep(due=due, kind="stored", alarm=answer.kind == "duplicate" and due.first_send)
    if answer.kind == "refused" and call_rows > 1:
        return RowStep(due=replace(due, alone=True), kind="wait", reason=answer.reason, next_try_s=now_s)
    if answer.kind == "refused":
        since_s = now_s if due.refused_since_s is None else due.refused_since_s
        due = replace(due, refusals=due.refusals + 1, refused_since_s=since_s)
        if due.refusals >= REFUSALS_TO_PARK and now_s - since_s >= park_after_s:
            return RowStep(due=due, kind="park", reason=answer.reason)
    wait_s = max(_jittered_s(due.tries + 1, rng), answer.retry_after_s or 0.0)
    return RowStep(due=due, kind="wait", reason=answer.reason, next_try_s=now_s + wait_s)


def next_call(waiting: deque[DueRow], most_rows: int) -> list[DueRow]:
    """Remove the windows of the next call from `waiting` and return them: one that goes alone, or up to `most_rows`."""
    call = [waiting.popleft()]
    while waiting and len(call) < most_rows and not call[0].alone and not waiting[0].alone:
        call.append(waiting.popleft())
    return call


def _jittered_s(tries: int, rng: random.Random) -> float:
    # Never near zero: the window would be due again within the same round.
    return backoff_s(tries, FIRST_WAIT_S, LONGEST_WAIT_S) * rng.uniform(0.5, 1.0)
