"""Send each configured model one request with the shape of production's, and price its answer."""

from __future__ import annotations

import asyncio
import datetime as dt
import io
from collections.abc import Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass

from PIL import Image as Pillow
from PIL import ImageDraw

from cluster.check.plan import VendorCheck
from cluster.config.settings import AppSettings
from deployments.common.settings import ServiceSettings
from deployments.gateway.attempts import model_request
from deployments.gateway.models import AttemptTimeouts
from deployments.providers.base import Provider
from deployments.providers.registry import connect_real
from routing.catalogue import Catalogue, Model
from routing.chat import ChatOptions, Image, Message
from routing.deltas import joined_answer
from routing.errors import ConfigurationError, RayroomError
from routing.models import EmbedRequest, Service, Usage

QUESTION = "Answer with the word yes."
LONGEST_TOKENS = 64
"""The most visible tokens of a checked answer: production's limit decides its cost only, not its shape."""
_SERVICES: tuple[Service, ...] = ("vision", "llm", "embeddings")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRequest:
    """One request and its outcome: `problem` is empty where it was answered, and the cost None where it is unknown."""

    service: Service
    model: str
    problem: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nanousd: int | None = None


async def send_requests(settings: AppSettings, row: VendorCheck, timeout_s: float) -> tuple[CheckedRequest, ...]:
    """Send one request for each service and model of a vendor, one after the other."""
    catalogue = settings.catalogue()
    planned = list(_planned(settings, row, catalogue))
    if not planned:
        return ()
    provider = connect_real(row.settings, row.account.key)
    try:
        return tuple([await _checked(provider, settings, catalogue, *pair, timeout_s) for pair in planned])
    finally:
        await provider.aclose()


def _planned(settings: AppSettings, row: VendorCheck, catalogue: Catalogue) -> Iterator[tuple[Service, Model]]:
    names = {
        "vision": (*settings.vision.simple, *settings.vision.complex),
        "llm": (*settings.llm.simple, *settings.llm.complex),
        "embeddings": settings.embeddings.models,
    }
    for service in _SERVICES:
        for name in dict.fromkeys(names[service]):
            if (model := catalogue.get(name)).vendor == row.name:
                yield service, model


async def _checked(
    provider: Provider,
    settings: AppSettings,
    catalogue: Catalogue,
    service: Service,
    model: Model,
    timeout_s: float,
) -> CheckedRequest:
    try:
        async with asyncio.timeout(timeout_s):
            usage, tier = await _send(provider, settings, service, model, timeout_s)
    except (RayroomError, TimeoutError) as error:
        return CheckedRequest(service=service, model=model.name, problem=_problem(error, timeout_s))
    if usage is None:
        return CheckedRequest(service=service, model=model.name)
    return CheckedRequest(
        service=service,
        model=model.name,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost_nanousd=_cost_nanousd(catalogue, model, usage, tier),
    )


async def _send(
    provider: Provider, settings: AppSettings, service: Service, model: Model, timeout_s: float
) -> tuple[Usage | None, str | None]:
    if service == "embeddings":
        inputs = (Message(role="user", content=("ping",)),)
        embedded = await provider.embed(model, EmbedRequest(model=model.name, inputs=inputs, timeout_s=timeout_s))
        return embedded.usage, None
    messages = _messages(settings, service)
    limits: ServiceSettings = settings.vision if service == "vision" else settings.llm
    tokens = min(limits.max_output_tokens, LONGEST_TOKENS)
    timeouts = AttemptTimeouts(
        attempt_s=timeout_s, first_token_s=timeout_s, between_tokens_s=timeout_s, total_s=timeout_s
    )
    request = model_request(model, messages, tokens, ChatOptions(), timeouts, timeout_s, more_room=False)
    if service == "vision":
        answer = await provider.answer(model, request)
        return answer.usage, answer.service_tier
    # The room agent's questions are streamed.
    async with aclosing(provider.stream(model, request)) as deltas:
        answer = joined_answer([delta async for delta in deltas], model.name, False)
    return answer.usage, answer.service_tier


def _messages(settings: AppSettings, service: Service) -> tuple[Message, ...]:
    if service == "vision":
        return (Message(role="user", content=(_frame(settings.rooms.image_long_side_px), settings.vision.prompt)),)
    system = Message(role="system", content=("You answer questions in a meeting, briefly.",))
    return system, Message(role="user", content=(QUESTION,))


def _frame(long_side_px: int) -> Image:
    """Return a screen as the room agent sends it: a JPEG of the configured size."""
    size, file = (long_side_px, long_side_px * 9 // 16), io.BytesIO()
    picture = Pillow.new("RGB", size, "white")
    ImageDraw.Draw(picture).text((size[0] // 3, size[1] // 3), "rayroom check", fill="black")
    picture.save(file, "JPEG", quality=80)
    return Image(data=file.getvalue(), width_px=size[0], height_px=size[1])


def _cost_nanousd(catalogue: Catalogue, model: Model, usage: Usage, tier: str | None) -> int | None:
    try:
        return catalogue.price(model.name, dt.datetime.now(dt.UTC).date()).cost_nanousd(usage, tier)
    except ConfigurationError:
        return None


def _problem(error: RayroomError | TimeoutError, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s."
    reason = error.facts.get("reason")
    return f"{error.message} {reason}" if reason else error.message


def total_nanousd(requests: Iterable[CheckedRequest]) -> int:
    """Return the known cost of the requests together."""
    return sum(request.cost_nanousd or 0 for request in requests)
