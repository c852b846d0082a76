"""Check the messages of a chat completion: roles, contents, images, and the results of tool calls."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from cluster.lab.emulator.chat.openai.checks import (
    MISSING,
    InvalidRequest,
    at,
    only,
    read_choice,
    read_object,
    read_objects,
    read_text,
    required,
)
from cluster.lab.emulator.core.content import Part, RequestMessage
from cluster.lab.emulator.core.parsing import picture

MAX_CALL_ID: Final = 40
_ROLES: Final = ("system", "assistant", "user", "function", "tool", "developer")
_FIELDS: Final = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    # `annotations` come back with the answers that clients send again as they were.
    "assistant": {"role", "content", "name", "refusal", "audio", "tool_calls", "function_call", "annotations"},
    "tool": {"role", "content", "tool_call_id"},
    "function": {"role", "content", "name"},
}
_PARTS: Final = {
    "user": ("text", "image_url", "input_audio", "file"),
    "assistant": ("text", "refusal"),
}
_DATA_URL: Final = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+);base64,", re.ASCII)
DETAILS: Final = ("auto", "low", "high", "original")


def read_messages(body: Mapping[str, Any]) -> tuple[RequestMessage, ...]:
    """Return the messages; raises InvalidRequest for the first one that OpenAI would refuse."""
    if "messages" not in body:
        raise InvalidRequest("The parameter 'messages' is missing.", "messages", MISSING)
    messages = read_objects(body["messages"], "messages")
    read = tuple(_message(message, f"messages[{index}]") for index, message in enumerate(messages))
    for index, message in enumerate(messages):
        _check_content_is_there(message, index)
    _check_results(read)
    return read


def _message(message: Mapping[str, Any], path: str) -> RequestMessage:
    role = read_choice(required(message, "role", path), at(path, "role"), _ROLES)
    only(message, _FIELDS[role], path)
    parts = tuple(_parts(message.get("content"), role, at(path, "content")))
    calls = (
        tuple(_calls(message["tool_calls"], at(path, "tool_calls"))) if message.get("tool_calls") is not None else ()
    )
    results: tuple[str, ...] = ()
    if role == "tool":
        name = at(path, "tool_call_id")
        results = (read_text(required(message, "tool_call_id", path), name, MAX_CALL_ID),)
    text = tuple(argument for call in calls for argument in call[1:])
    return RequestMessage(role, (*parts, *text), tuple(call[0] for call in calls), results)


def _parts(content: Any, role: str, path: str) -> Iterator[Part]:
    if content is None or isinstance(content, str):
        yield from (content,) if content is not None else ()
        return
    if not isinstance(content, list):
        raise InvalidRequest(f"'{path}' must be a string or an array of objects.", path, "invalid_type")
    for index, part in enumerate(read_objects(content, path)):
        yield _part(part, role, f"{path}[{index}]")


def _part(part: Mapping[str, Any], role: str, path: str) -> Part:
    kind = read_choice(required(part, "type", path), at(path, "type"), _PARTS.get(role, ("text",)))
    only(part, {"type", kind, "prompt_cache_breakpoint"}, path)
    if kind != "image_url":
        return str(required(part, kind, path)) if kind in ("text", "refusal") else ""
    image = read_object(required(part, "image_url", path), at(path, "image_url"))
    only(image, {"url", "detail"}, at(path, "image_url"))
    if "detail" in image:
        read_choice(image["detail"], at(path, "image_url.detail"), DETAILS)
    return read_image_url(required(image, "url", at(path, "image_url")), at(path, "image_url.url"))


def read_image_url(value: Any, path: str) -> bytes:
    """Return the bytes of a data URL, or the address of an image on the web."""
    url = read_text(value, path)
    found = _DATA_URL.match(url)
    if found is not None and not found["type"].startswith("image/"):
        raise InvalidRequest("The data URL is of no image.", None, "invalid_image_format")
    if found is None and not url.startswith(("http://", "https://")):
        raise InvalidRequest(f"'{path}' must be a web address or a base64 data URL.", path, "invalid_value")
    return picture(url)


def _calls(value: Any, path: str) -> Iterator[tuple[str, str, str]]:
    """Yield the id, the name and the arguments of each call."""
    for index, call in enumerate(read_objects(value, path)):
        place = f"{path}[{index}]"
        only(call, {"id", "type", "function"}, place)
        call_id = read_text(required(call, "id", place), at(place, "id"), MAX_CALL_ID)
        read_choice(required(call, "type", place), at(place, "type"), ("function",))
        function = read_object(required(call, "function", place), at(place, "function"))
        only(function, {"name", "arguments"}, at(place, "function"))
        texts = [read_text(required(function, name, place), at(place, name)) for name in ("name", "arguments")]
        yield call_id, texts[0], texts[1]


def _check_content_is_there(message: Mapping[str, Any], index: int) -> None:
    instead = ("tool_calls", "refusal", "function_call", "audio") if message["role"] == "assistant" else ()
    if message.get("content") is None and not any(message.get(name) is not None for name in instead):
        raise InvalidRequest("'content' must be a string, not null.", f"messages.[{index}].content")


def _check_results(messages: Sequence[RequestMessage]) -> None:
    """Refuse a result of an unknown call, and a call whose results do not follow at once."""
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        for result in message.results:
            if result not in open_calls:
                raise InvalidRequest(
                    "A message with the role 'tool' must follow the message with its call.", f"messages.[{index}].role"
                )
            open_calls.remove(result)
        if not message.results and open_calls:
            break
        open_calls += message.calls
    if open_calls:
        raise InvalidRequest(f"Tool calls lack their results: {', '.join(open_calls)}.", "messages")
