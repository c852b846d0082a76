"""Check the contents of a request: roles, parts, images, and function calls with their responses."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from cluster.lab.emulator.chat.gemini.proto_json import Fields, InvalidArgument
from cluster.lab.emulator.chat.gemini.thoughts import is_accepted
from cluster.lab.emulator.core.content import Part, RequestMessage
from cluster.lab.emulator.core.model_rules import ModelRules

ROLES: Final = ("user", "model")
IMAGE_TYPES: Final = ("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif")
"""Google's page on image understanding, read 2026-11-30: it has no GIF."""
RESULT_IMAGE_TYPES: Final = ("image/png", "image/jpeg", "image/webp")
"""Google's page on function calling: the images that a function may respond with, to models of the third generation."""
FUNCTION_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
DATA_FIELDS: Final = (
    "text",
    "inline_data",
    "file_data",
    "function_call",
    "function_response",
    "executable_code",
    "code_execution_result",
)
_REQUEST: Final = "* GenerateContentRequest"


def read_contents(contents: Sequence[Fields], rules: ModelRules) -> tuple[RequestMessage, ...]:
    """Return the turns; raises InvalidArgument for the first one that Gemini would refuse."""
    if not contents:
        raise InvalidArgument(f"{_REQUEST}.contents: contents is not specified\n")
    if "thought_signatures" not in rules.flags and any(_result_images(content) for content in contents):
        raise InvalidArgument("Multimodal function responses are not supported by this model.")
    turns = tuple(_turn(content, f"contents[{index}]") for index, content in enumerate(contents))
    if "no_prefill" in rules.flags and turns[-1].role == "model":
        raise InvalidArgument("The last turn of a request to this model must not have the role model.")
    _check_order(contents, turns, rules)
    if "thought_signatures" in rules.flags:
        _check_signatures(contents)
    return turns


def read_instruction(content: Fields) -> RequestMessage:
    """Return the system instruction; its role does not matter."""
    return RequestMessage("system", tuple(_turn(content | {"role": "user"}, "system_instruction").parts))


def _turn(content: Fields, path: str) -> RequestMessage:
    role = content.get("role") or "user"
    if role not in ROLES:
        raise InvalidArgument(f"Please use a valid role: {', '.join(ROLES)}.")
    parts = content.get("parts") or []
    if not parts:
        raise InvalidArgument(f"{_REQUEST}.{path}.parts: contents.parts must not be empty.\n")
    read = tuple(part for index, fields in enumerate(parts) for part in _parts(fields, f"{path}.parts[{index}]"))
    return RequestMessage(role, read, _ids(content, "function_call"), _ids(content, "function_response"))


def _parts(part: Fields, path: str) -> Iterator[Part]:
    given = [name for name in DATA_FIELDS if part.get(name) not in (None, "")]
    if not given:
        raise InvalidArgument(f"{_REQUEST}.{path}.data: required oneof field 'data' must have one initialized field\n")
    if len(given) > 1:
        problem = f"oneof field 'data' is already set. Cannot set '{given[1]}'"
        raise InvalidArgument(f"Invalid value at '{path}' (oneof), {problem}", path)
    yield _data(part, given[0], path)
    if given[0] == "function_response":
        yield from (_image(image, RESULT_IMAGE_TYPES) for image in _result_images({"parts": [part]}))


def _result_images(content: Fields) -> list[Fields]:
    responses = (part.get("function_response") or {} for part in content.get("parts") or ())
    return [image.get("inline_data") or {} for response in responses for image in response.get("parts") or ()]


def _data(part: Fields, name: str, path: str) -> Part:
    value = part[name]
    if name == "inline_data":
        return _image(value)
    if name == "file_data":
        return str(value.get("file_uri", "")).encode()
    if name in ("function_call", "function_response"):
        if not value.get("name"):
            raise InvalidArgument(f"{_REQUEST}.{path}.{name}.name: Name cannot be empty.\n")
        return f"{value['name']} {json.dumps(value.get('args') or value.get('response') or {})}"
    return str(value)


def _image(blob: Fields, accepted: Sequence[str] = IMAGE_TYPES) -> bytes:
    kind = blob.get("mime_type", "")
    if kind not in accepted:
        raise InvalidArgument(f"Unsupported MIME type: {kind}")
    if not blob.get("data"):
        raise InvalidArgument("Unable to process input image. Please retry or report the problem.")
    return bytes(blob["data"])


def _ids(content: Fields, name: str) -> tuple[str, ...]:
    found = (part[name] for part in content.get("parts") or () if part.get(name) is not None)
    return tuple(str(one.get("id") or one.get("name")) for one in found)


def _check_order(contents: Sequence[Fields], turns: Sequence[RequestMessage], rules: ModelRules) -> None:
    """Refuse calls without responses in the next turn, and responses without calls in the turn before."""
    for index, turn in enumerate(turns):
        before = turns[index - 1] if index else None
        if turn.calls and (turn.role != "model" or before is None or before.role != "user"):
            raise InvalidArgument(
                "Please ensure that function call turn comes immediately after a user turn or after a function"
                " response turn."
            )
        if turn.results and (before is None or not before.calls):
            raise InvalidArgument(
                "Please ensure that function response turn comes immediately after a function call turn."
            )
        if before is not None and len(before.calls) != len(turn.results):
            raise InvalidArgument(
                "Please ensure that the number of function response parts is equal to the number of function call"
                " parts of the function call turn."
            )
        if before is not None and turn.results:
            _check_pairs(contents[index - 1], contents[index], rules)
    if turns[-1].calls:
        raise InvalidArgument("The function calls of the last turn have no function response turn.")


def _check_pairs(calls: Fields, responses: Fields, rules: ModelRules) -> None:
    """Refuse a response whose name, and for newer models whose id, is not that of a call.

    A response without an id is accepted, since Google's SDK sends none for the functions that it calls by itself.
    """
    for field in ("id", "name") if "call_ids" in rules.flags else ("name",):
        called = Counter(part["function_call"].get(field) for part in calls["parts"] if part.get("function_call"))
        given = [part["function_response"].get(field) for part in responses["parts"] if part.get("function_response")]
        if Counter(value for value in given if value) - called:
            raise InvalidArgument(f"functionResponse.{field} does not match functionCall.{field}.")


def _check_signatures(contents: Sequence[Fields]) -> None:
    """Refuse a step of the current turn whose first call lacks the signature with which it came.

    The current turn begins with the last content of the user that is no function response.
    """
    starts = [index for index, content in enumerate(contents) if _is_question(content)]
    for content in contents[starts[-1] if starts else 0 :]:
        signed: list[tuple[int, Any]] = [
            (position, part) for position, part in enumerate(content["parts"]) if part.get("function_call") is not None
        ]
        for position, part in signed[:1]:
            _check_signature(part, position)


def _is_question(content: Fields) -> bool:
    return (content.get("role") or "user") == "user" and any(
        part.get("function_response") is None for part in content["parts"]
    )


def _check_signature(part: Fields, position: int) -> None:
    signature = part.get("thought_signature")
    if not signature:
        raise InvalidArgument(
            "Function call is missing a thought_signature in functionCall parts. This is required for tools to work"
            f" correctly. Additional data, function call `default_api:{part['function_call']['name']}`, position"
            f" {position + 1}."
        )
    if not is_accepted(signature):
        raise InvalidArgument("Corrupted thought signature.")
