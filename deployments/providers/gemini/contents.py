"""The contents of a request to Gemini: turns of the user and of the model, with images, calls and their results."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from google.genai import types

from deployments.providers.call_ids import accepted_call_id
from deployments.providers.gemini.thought_signatures import SKIPS_VALIDATION, thought_signature_of
from routing.capabilities import FixedTokens
from routing.catalogue import Model
from routing.chat import Detail, Image, Message, ToolCall
from routing.errors import ProviderRefused
from routing.models import ModelRequest

LONGEST_CALL_ID: Final = 64
"""No limit is published. This one is OpenAI's in its Responses API, and longer than any id of Gemini."""
_ROLES: Final = {"user": "user", "assistant": "model", "tool": "user"}
_LEVELS: Final[dict[Detail, types.PartMediaResolutionLevel]] = {
    "low": types.PartMediaResolutionLevel.MEDIA_RESOLUTION_LOW,
    "high": types.PartMediaResolutionLevel.MEDIA_RESOLUTION_HIGH,
}


def request_contents(model: Model, request: ModelRequest) -> list[types.Content]:
    """Return the turns of the conversation; consecutive messages of one role are one turn.

    Raises ProviderRefused for a conversation that Gemini never accepts, before anything is sent.
    """
    # Gemini refuses a turn without parts.
    messages = [message for message in request.messages if message.role != "system" and not _is_empty(message)]
    names: dict[str, str] = {}
    contents = [
        types.Content(role=_ROLES[role], parts=list(_parts(model, of_one_role, names)))
        for role, of_one_role in itertools.groupby(messages, lambda message: message.role)
    ]
    _check(model, contents)
    return contents


def _is_empty(message: Message) -> bool:
    return message.role != "tool" and not message.tool_calls and not any(message.content)


def _check(model: Model, contents: list[types.Content]) -> None:
    if not any(content.role == "user" for content in contents):
        raise ProviderRefused(f"{model.name} needs a message of the user with text or an image.", "messages")
    if contents[-1].role == "model" and not model.capabilities.prefill:
        raise ProviderRefused(f"The last message of a request to {model.name} cannot be the assistant's.", "messages")


def _parts(model: Model, messages: Iterable[Message], names: dict[str, str]) -> Iterator[types.Part]:
    """Yield the parts of one turn. Only the first of its calls needs a thought signature.

    `names` gets the names of the calls by their ids, which some servers give again in a later turn.
    """
    must_be_signed = has_thinking_levels(model)
    for message in messages:
        if message.role == "tool":
            yield _result(model, message, names)
            continue
        for part in message.content:
            if part:
                yield _image(model, part) if isinstance(part, Image) else types.Part(text=part)
        for call in message.tool_calls:
            signature = thought_signature_of(call.signature, model.vendor_name)
            yield _call(call, signature or (SKIPS_VALIDATION if must_be_signed else None))
            must_be_signed = False
            names[call.call_id] = call.name


def has_thinking_levels(model: Model) -> bool:
    """Return whether the model is of the third generation, whose thinking has levels instead of budgets.

    It may refuse calls without thought signatures, and takes images in the results of functions; older ones do neither
    (Google's page on function calling).
    """
    thinking = model.capabilities.thinking
    return thinking is None or thinking.unit == "level"


def _image(model: Model, image: Image) -> types.Part:
    """Return an image, with its resolution where the model counts fewer tokens for a low one."""
    blob = types.Blob(data=image.data, mime_type=image.media_type)
    level = _level(model, image)
    resolution = types.PartMediaResolution(level=level) if level is not None else None
    return types.Part(inline_data=blob, media_resolution=resolution)


def _level(model: Model, image: Image) -> types.PartMediaResolutionLevel | None:
    rule = model.image_tokens
    if not isinstance(rule, FixedTokens) or rule.low is None:
        return None
    return _LEVELS.get("low" if rule.is_low(image.width_px, image.height_px, image.detail) else image.detail)


def _call(call: ToolCall, thought_signature: bytes | None) -> types.Part:
    call_id = accepted_call_id(call.call_id, LONGEST_CALL_ID)
    function_call = types.FunctionCall(id=call_id, name=call.name, args=_arguments(call))
    return types.Part(function_call=function_call, thought_signature=thought_signature)


def _arguments(call: ToolCall) -> dict[str, Any]:
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise ProviderRefused(f"The arguments of the call of {call.name} must be a JSON object.", "messages")
    return arguments


def _result(model: Model, message: Message, names: Mapping[str, str]) -> types.Part:
    """Return the result of a call. Gemini pairs both by name and id."""
    call_id = message.tool_call_id or ""
    if call_id not in names:
        raise ProviderRefused("The result of a tool must follow the message with its call.", "messages")
    if message.images and not has_thinking_levels(model):
        raise ProviderRefused(f"{model.name} takes no image in the result of a tool.", "messages")
    response = types.FunctionResponse(
        id=accepted_call_id(call_id, LONGEST_CALL_ID),
        name=names[call_id],
        response={"output": message.text},
        parts=[_result_image(image) for image in message.images] or None,
    )
    return types.Part(function_response=response)


def _result_image(image: Image) -> types.FunctionResponsePart:
    blob = types.FunctionResponseBlob(data=image.data, mime_type=image.media_type)
    return types.FunctionResponsePart(inline_data=blob)
