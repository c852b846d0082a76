"""Schemas of the HTTP routes' bodies and headers, for OpenAI's clients and the room agent."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from deployments.api.jpeg import inspect_jpeg
from deployments.api.openai_params import Neutral, NotPassedOn
from routing.chat import Image, Message
from routing.errors import BadInput
from routing.models import FrameFeatures

MAX_TEXT_CHARS = 400_000
MAX_NAME_CHARS = 64
MAX_MESSAGES = 512
MAX_IMAGES = 8
# Limits of one event: usage that could not be sent for days is sent as one event.
MAX_AUDIO_MS = 1_000_000_000
MAX_CHARACTERS = 100_000_000
_DATA_URL = "data:image/jpeg;base64,"

B = TypeVar("B", bound=BaseModel)
Unit = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


class Body(BaseModel):
    """A request body: an unknown key is an error that names it, and is never dropped silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OpenRoom(Body):
    """The body with which an agent opens a room; `metadata` is that of its job, signed by the company's backend."""

    room: Annotated[str, Field(max_length=1_024)]
    job_id: Annotated[str, Field(min_length=1, max_length=128)]
    metadata: Annotated[str, Field(max_length=16_384)]
    ended: bool = False
    """Whether the job has ended and only its bill is sent, which a suspended tenant owes too."""


Finite = Annotated[float, AfterValidator(_finite)]


class SpeechUsageItem(Body):
    """The usage of one STT or TTS request, as the agent counted it. Its id is the same on every resend."""

    id: Annotated[str, Field(min_length=1, max_length=128)]
    service: Literal["stt", "tts"]
    model: Annotated[str, Field(min_length=1, max_length=128)]
    audio_ms: Annotated[int, Field(strict=True, ge=0, le=MAX_AUDIO_MS)] = 0
    characters: Annotated[int, Field(strict=True, ge=0, le=MAX_CHARACTERS)] = 0
    occurred_at: Annotated[Finite, Field(ge=0)]
    estimated: bool = False
    """Whether the job was killed while the request was in transit to the vendor, so that it may not have arrived."""


class Heartbeat(Body):
    """An agent's counters since its job began, and the speech usage not acknowledged yet."""

    usage: Annotated[tuple[SpeechUsageItem, ...], Field(max_length=256)] = ()
    counters: Annotated[
        dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")], Finite], Field(max_length=64)
    ] = {}
    ended: bool = False
    """Whether the job has ended, so that only its usage counts."""


def _shape(value: Any) -> str | None:
    """Return a union's tag for a value; no field name has brackets, so that an error's path can drop the tag."""
    tags: dict[type, str] = {str: "(text)", list: "(list)", dict: "(object)"}
    return tags.get(type(value))


def _one_of(kinds: str) -> Discriminator:
    return Discriminator(_shape, custom_error_type="shape", custom_error_message=f"Input should be {kinds}")


class ImageUrl(Body):
    url: Annotated[str, Field(max_length=4_000_000)]
    detail: Literal["auto", "low", "high"] = "auto"


class Part(Body):
    """A part of a message: a text, or an image inline."""

    type: Literal["text", "image_url"]
    text: Text | None = None
    image_url: ImageUrl | None = None

    @model_validator(mode="after")
    def _holds_its_type(self) -> Part:
        if (self.text is None) is (self.type == "text") or (self.image_url is None) is (self.type == "image_url"):
            raise PydanticCustomError("part", "must hold exactly the field that its type names")
        return self


Words = Annotated[Text, Tag("(text)")]
Parts = Annotated[list[Part], Field(max_length=64), Tag("(list)")]


class ChatMessage(Body):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[Words | Parts, _one_of("a text or a list of parts")]
    name: Annotated[str, Field(max_length=256)] | None = None
    # Clients send the message of an answer back unchanged with the next turn.
    refusal: Annotated[Any, Neutral()] = None
    annotations: Annotated[Any, Neutral([])] = None
    audio: Annotated[Any, Neutral()] = None
    tool_calls: Annotated[Any, Neutral([])] = None
    function_call: Annotated[Any, Neutral()] = None


class StreamOptions(Body):
    include_usage: bool = False
    include_obfuscation: bool = False


class ChatRequest(NotPassedOn, Body):
    """OpenAI's chat completion request, as far as it is passed on."""

    model: Annotated[str, Field(max_length=128)] = "auto"
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1, le=32_000)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=32_000)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    # The token identifies the caller: these labels are accepted and ignored, except `last_answer`.
    user: Annotated[str, Field(max_length=256)] | None = None
    safety_identifier: Annotated[str, Field(max_length=256)] | None = None
    prompt_cache_key: Annotated[str, Field(max_length=256)] | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None

    @property
    def last_answer_failed(self) -> bool:
        """Return whether the caller marks the last answer as failed: `"metadata": {"last_answer": "failed"}`."""
        return (self.metadata or {}).get("last_answer") == "failed"

    def output_tokens(self, default: int) -> int:
        return self.max_completion_tokens or self.max_tokens or default

    @property
    def output_field(self) -> str:
        """Return the name of the output limit field that the caller used."""
        return "max_completion_tokens" if self.max_completion_tokens else "max_tokens"


class Item(Body):
    """An embedding input that is more than a text."""

    text: Text = ""
    image: Annotated[str, Field(max_length=4_000_000)] | None = None


Input = Annotated[Words | Annotated[Item, Tag("(object)")], _one_of("a text or an object")]
Inputs = Annotated[list[Input], Field(min_length=1, max_length=128), Tag("(list)")]


class EmbeddingRequest(Body):
    """OpenAI's embedding request; an input may also be `{"text": ..., "image": "data:image/jpeg;base64,..."}`."""

    model: Annotated[str, Field(max_length=128)] = "auto"
    input: Annotated[Words | Inputs, _one_of("a text or a list of inputs")]
    encoding_format: Literal["float", "base64"] = "float"
    user: Annotated[str, Field(max_length=256)] | None = None


class KnowledgeSearch(Body):
    """A question to the tenant's knowledge base, and the frame it is about."""

    query: Annotated[str, Field(min_length=1, max_length=10_000)]
    image: Annotated[str, Field(max_length=4_000_000)] | None = None
    top_k: Annotated[int, Field(strict=True, ge=1, le=20)] = 5


class FrameHeaders(Body):
    """The metadata of a frame, each field in a header `x-frame-...`.

    `captured_at` (Unix seconds) and `track` are used together, to log frames that arrive out of order.
    """

    captured_at: Finite | None = None
    track: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    source: Literal["screen_share", "camera"] = "screen_share"
    phash: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = None
    text_density: Unit = 0.0
    edge_energy: Unit = 0.0
    changed_share: Unit = 0.0
    novelty: Unit = 0.0

    def features(self) -> FrameFeatures:
        return FrameFeatures(
            text_density=self.text_density,
            edge_energy=self.edge_energy,
            changed_share=self.changed_share,
            novelty=self.novelty,
        )


def parse_body(kind: type[B], body: bytes) -> B:
    """Return a JSON body as `kind`; raises BadInput with the name of the field."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise bad_input(error) from None


def parse_frame_headers(headers: Mapping[str, str]) -> FrameHeaders:
    """Return the `x-frame-...` headers; raises BadInput with the name of the header."""
    prefix = "x-frame-"
    found = {name[len(prefix) :].replace("-", "_"): value for name, value in headers.items() if name.startswith(prefix)}
    try:
        return FrameHeaders.model_validate(found)
    except ValidationError as error:
        raise bad_input(error, lambda name: prefix + name.replace("_", "-")) from None


def bad_input(error: ValidationError, rename: Any = str) -> BadInput:
    """Return a BadInput for the first wrong field; its value is never included, because it may be content."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    steps = [str(step)[:MAX_NAME_CHARS] for step in first["loc"] if not str(step).startswith("(")]
    param = rename(".".join(steps)) if steps else "body"
    return BadInput(f"{param}: {first['msg']}.", param)


def to_messages(messages: list[ChatMessage], max_px: int) -> tuple[Message, ...]:
    """Convert the messages of a chat; raises BadInput for an image that is no inline JPEG, or for too many."""
    found = tuple(_to_message(message, f"messages.{i}.content", max_px) for i, message in enumerate(messages))
    if sum(len(message.images) for message in found) > MAX_IMAGES:
        raise BadInput(f"A request may hold {MAX_IMAGES} images at most.", "messages")
    return found


def _to_message(message: ChatMessage, where: str, max_px: int) -> Message:
    role: Any = "system" if message.role == "developer" else message.role
    if isinstance(message.content, str):
        return Message(role=role, content=(message.content,))
    content = [
        inline_jpeg(part.image_url.url, f"{where}.{i}.image_url.url", max_px) if part.image_url else part.text or ""
        for i, part in enumerate(message.content)
    ]
    return Message(role=role, content=tuple(content))


def inline_jpeg(url: str, param: str, max_px: int) -> Image:
    """Return the JPEG of a data URL; raises BadInput for any other URL: images are never fetched."""
    if not url.startswith(_DATA_URL):
        raise BadInput(f"{param}: must be an inline JPEG, {_DATA_URL}...; images are not fetched.", param)
    try:
        data = base64.b64decode(url[len(_DATA_URL) :], validate=True)
    except binascii.Error:
        raise BadInput(f"{param}: is not valid base64.", param) from None
    size = inspect_jpeg(data, max_px)
    return Image(data=data, width_px=size.width_px, height_px=size.height_px)


def to_inputs(request: EmbeddingRequest, max_px: int) -> tuple[Message, ...]:
    """Convert the inputs of an embedding request, in order; raises BadInput."""
    items = [request.input] if isinstance(request.input, str) else request.input
    return tuple(_to_input(item, f"input.{i}", max_px) for i, item in enumerate(items))


def _to_input(item: str | Item, where: str, max_px: int) -> Message:
    if isinstance(item, str):
        item = Item(text=item)
    if not item.text and item.image is None:
        raise BadInput(f"{where}: is empty.", where)
    images = () if item.image is None else (inline_jpeg(item.image, f"{where}.image", max_px),)
    return Message(role="user", content=(item.text, *images))
