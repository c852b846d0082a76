"""Hooks that schemathesis loads: values of the document's own formats, and the rules that no JSON Schema can say.

It runs in the environment of schemathesis, so it imports nothing of this project.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response
from schemathesis.generation.case import Case
from schemathesis.hooks import HookContext

APPLIED = Path("applied_rules.jsonl")
"""One line for each refusal that a rule explains, in the directory of the run."""
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
ARGUMENTS = ({}, {"tenant_id": "acme"}, {"tenant_id": "acme", "meeting_id": "standup"}, {"city": "Oslo", "days": [1]})


class UnsayableRule(NamedTuple):
    """A reason for which a request may be refused that is valid by its schema."""

    name: str
    paths: str
    error: str
    reason: str

    def explains(self, path: str, message: str) -> bool:
        return re.fullmatch(self.paths, path) is not None and re.search(self.error, message) is not None


CHATS = r"/v1/(chat/completions|responses)"
RULES = (
    UnsayableRule(
        name="a result follows its call",
        paths=CHATS,
        error=r"names no call of the assistant's message before it|have no result in the messages that follow"
        r"|names a call that has a result already|is the id of another call of this message",
        reason="it compares the ids of several messages",
    ),
    UnsayableRule(
        name="the chosen tool is one of the tools",
        paths=CHATS,
        error=r"is the name of no tool of this request|is the name of another tool of this request",
        reason="it compares the names of several tools",
    ),
    UnsayableRule(
        name="the last message of the user is not blank",
        paths=CHATS,
        error=r"The last user message is empty",
        reason="which message of the user is the last depends on the others",
    ),
    UnsayableRule(
        name="the model takes the option",
        paths=CHATS,
        error=r"does not support|does not continue a message of the assistant|answers with at most \d+ tokens",
        reason="the router chooses the model by the content of the request",
    ),
    UnsayableRule(
        name="an event of speech is not in the future",
        paths=r"/v1/rooms/[^/]+/heartbeat",
        error=r"lies more than a day in the future",
        reason="it compares with the time of the request",
    ),
    UnsayableRule(
        name="a frame has an image or crops, which are JPEGs with a box",
        paths=r"/v1/frames",
        error=r"image must be given, or crops|must be left, top, right, bottom in pixels|JPEG|base64",
        reason="it compares several fields, and the header of a picture",
    ),
    UnsayableRule(
        name="a time of the bill exists, and a cursor is that of the page before",
        paths=r"/v1/bill",
        error=r"is neither a day such as|cursor",
        reason="a calendar decides, or a page that the app has returned",
    ),
)
SET_ASIDE = UnsayableRule(
    name="wrong usage is set aside",
    paths=r"/v1/rooms/[^/]+/heartbeat",
    error="",
    reason="one wrong item does not keep the others from the bill, so the heartbeat is accepted",
)


URLS = [f"data:image/{kind};base64,{base64.b64encode(data).decode()}" for kind, data in (("png", PIXEL), ("gif", GIF))]
schemathesis.openapi.format("inline-image", st.sampled_from(URLS))
schemathesis.openapi.format("json-object", st.sampled_from(ARGUMENTS).map(json.dumps))


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: Case, response: Response) -> bool:
    """Return False for a request that a rule explains; every other finding stays."""
    path = case.operation.path
    if type(failure).__name__ == "AcceptedNegativeData" and SET_ASIDE.explains(path, ""):
        if response.status_code == 200 and response.json().get("set_aside"):
            _record(SET_ASIDE, case)
            return False
        return True
    if type(failure).__name__ != "RejectedPositiveData" or response.status_code != 400:
        return True
    error: dict[str, Any] = response.json()["error"]
    message = f"{error['message']} {error['code']}"
    for rule in RULES:
        if rule.explains(path, message):
            _record(rule, case)
            return False
    return True


def _record(rule: UnsayableRule, case: Case) -> None:
    row = {"rule": rule.name, "reason": rule.reason, "operation": case.operation.label}
    with APPLIED.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
