"""Simulated vendor: published latency, real prices, and seeded answers marked as simulated."""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import struct
import time
import tomllib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from deployments.api.jpeg import inspect_jpeg
from deployments.common.settings import ProfileChange, SimulationSettings
from deployments.providers.base import served_name
from deployments.providers.simulated_reply import simulated_reply
from deployments.providers.vendor_call import VendorCall
from routing.catalogue import Model
from routing.chat import Image, Message
from routing.errors import BadInput, ProviderOverloaded, ProviderTimeout
from routing.estimates import options_tokens, text_tokens
from routing.models import Answer, Delta, EmbeddingResult, EmbedRequest, ModelRequest, Usage
from routing.retry import Deadline

TAIL_SIGMA = 0.35
Sleep = Callable[[float], Awaitable[None]]


class Profile(BaseModel):
    """The published latency of a model, and its source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first_token_ms: float
    sigma: float
    tail_share: float
    tail_median_ms: float
    tokens_per_s: float
    source: str

    def changed(self, change: ProfileChange | None) -> Profile:
        """Return the profile with the fields of `change` replaced."""
        return self if change is None else self.model_copy(update=change.model_dump(exclude_none=True))

    def first_token_s(self, rng: random.Random) -> float:
        """Draw a time to first token."""
        if rng.random() < self.tail_share:
            return rng.lognormvariate(math.log(self.tail_median_ms), TAIL_SIGMA) / 1_000
        return rng.lognormvariate(math.log(self.first_token_ms), self.sigma) / 1_000

    def first_token_quantile_s(self, share: float) -> float:
        """Return the time within which `share` of the first tokens come; `share` is below 1."""
        low_s, high_s = 0.0, 1.0
        while self._share_within(high_s) < share:
            high_s *= 2
        for _ in range(40):
            middle_s = (low_s + high_s) / 2
            low_s, high_s = (middle_s, high_s) if self._share_within(middle_s) < share else (low_s, middle_s)
        return high_s

    def _share_within(self, seconds: float) -> float:
        body = _log_normal_share(1_000 * seconds, self.first_token_ms, self.sigma)
        tail = _log_normal_share(1_000 * seconds, self.tail_median_ms, TAIL_SIGMA)
        return (1 - self.tail_share) * body + self.tail_share * tail

    def first_tokens_s(self, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        """Draw `count` times to first token at once, with the distribution of `first_token_s`."""
        chances = rng.standard_normal(count)
        times_ms = self.first_token_ms * np.exp(self.sigma * chances)
        late = np.flatnonzero(rng.random(count) < self.tail_share)
        times_ms[late] = self.tail_median_ms * np.exp(TAIL_SIGMA * chances[late])
        return np.asarray(times_ms / 1_000)


def _log_normal_share(value: float, median: float, sigma: float) -> float:
    """Return the share of a log-normal distribution that is at most `value`."""
    if sigma == 0 or median == 0:
        return float(value >= median)
    return 0.5 * (1 + math.erf(math.log(value / median) / (sigma * math.sqrt(2))))


@cache
def load_profiles() -> dict[str, Profile]:
    text = resources.files("deployments.providers").joinpath("profiles.toml").read_text("utf-8")
    return {name: Profile.model_validate(row) for name, row in tomllib.loads(text).items()}


def profile_of(model: str, changes: Mapping[str, ProfileChange]) -> Profile:
    """Return a model's published profile, or the default one, with its entry in `changes` applied."""
    profiles = load_profiles()
    return (profiles.get(model) or profiles["default"]).changed(changes.get(model))


def published_p99_s(models: Iterable[str]) -> dict[str, float]:
    """Return the published p99 of the time to the first token of each model that has a profile of its own."""
    profiles = load_profiles()
    return {name: profiles[name].first_token_quantile_s(0.99) for name in models if name in profiles}


class SimulatedProvider:
    """A provider for any vendor. Two with the same seed return the same answers to the same sequence of requests."""

    def __init__(self, settings: SimulationSettings, sleep: Sleep = asyncio.sleep) -> None:
        self._settings = settings
        self._rng = random.Random(settings.seed)
        self._sleep = sleep
        self._profiles: dict[str, Profile] = {}

    async def answer(self, model: Model, request: ModelRequest, call: VendorCall | None = None) -> Answer:
        """Answer as `stream` does, with one sleep: a timer for each word would cost more than the rest of a request."""
        profile, deadline = self._profile(model), Deadline.after(request.timeout_s, time.monotonic())
        reply, call = simulated_reply(model, request, self._settings.seed), _sent(call)
        await self._pause(profile.first_token_s(self._rng), deadline)
        self._fail_sometimes(model)
        text, tokens = "".join(reply.pieces), reply.tokens
        await self._pause(tokens / profile.tokens_per_s, deadline)
        usage = _usage(model, request, output_tokens=tokens)
        call.received.add_whole(usage, text)
        return Answer(
            text=text,
            model=served_name(model, True),
            finish=reply.finish,
            usage=usage,
            tool_calls=reply.tool_calls,
            simulated=True,
        )

    async def stream(
        self, model: Model, request: ModelRequest, call: VendorCall | None = None
    ) -> AsyncGenerator[Delta, None]:
        profile, deadline = self._profile(model), Deadline.after(request.timeout_s, time.monotonic())
        reply, call = simulated_reply(model, request, self._settings.seed), _sent(call)
        await self._pause(profile.first_token_s(self._rng), deadline)
        self._fail_sometimes(model)
        for delta in reply.deltas():
            call.received.add(delta)
            yield delta
            await self._pause(1 / profile.tokens_per_s, deadline)
        last = Delta(finish=reply.finish, usage=_usage(model, request, output_tokens=reply.tokens))
        call.received.add(last)
        yield last

    async def embed(self, model: Model, request: EmbedRequest, call: VendorCall | None = None) -> EmbeddingResult:
        deadline = Deadline.after(request.timeout_s, time.monotonic())
        _sent(call)
        await self._pause(self._profile(model).first_token_s(self._rng), deadline)
        self._fail_sometimes(model)
        vectors = tuple(_vector(message, request.dimensions or model.dimensions or 256) for message in request.inputs)
        images = [_sized(image) for message in request.inputs for image in message.images]
        px = sum(image.width_px * image.height_px for image in images)
        usage = Usage(input_tokens=text_tokens(request.inputs), image_px=px)
        return EmbeddingResult(vectors=vectors, model=served_name(model, True), usage=usage, simulated=True)

    def _profile(self, model: Model) -> Profile:
        if model.name not in self._profiles:
            self._profiles[model.name] = profile_of(model.name, self._settings.profiles)
        return self._profiles[model.name]

    def warm_up(self) -> None:
        load_profiles()

    async def aclose(self) -> None:
        return None

    async def _pause(self, seconds: float, deadline: Deadline) -> None:
        # Another task may request the next piece, so no timer is open across a yield.
        try:
            async with asyncio.timeout(deadline.remaining_s(time.monotonic())):
                await self._sleep(seconds / self._settings.speed)
        except TimeoutError:
            raise ProviderTimeout() from None

    def _fail_sometimes(self, model: Model) -> None:
        if self._rng.random() < self._settings.failures.get(model.name, 0.0):
            raise ProviderOverloaded(
                f"The simulated {model.name} is overloaded, as its configured share of failures asks."
            )


def _sent(call: VendorCall | None) -> VendorCall:
    """Return the call, with its request marked as sent."""
    call = call or VendorCall()
    call.mark_sent()
    return call


def _usage(model: Model, request: ModelRequest, output_tokens: int) -> Usage:
    images = [image for message in request.messages for image in message.images]
    image_tokens = sum(model.tokens_of(_sized(image)) for image in images)
    text = text_tokens(request.messages) + options_tokens(request.options)
    return Usage(input_tokens=text + image_tokens, image_tokens=image_tokens, output_tokens=output_tokens)


def _sized(image: Image) -> Image:
    """Return the image with the size of its header, if it is a JPEG of unknown size."""
    if image.width_px:
        return image
    try:
        size = inspect_jpeg(image.data)
    except BadInput:
        return image
    return replace(image, width_px=size.width_px, height_px=size.height_px)


def _vector(message: Message, dimensions: int) -> tuple[float, ...]:
    """Return a unit vector derived from a hash of the content."""
    ids = struct.pack(f"<{len(message.token_ids)}q", *message.token_ids)
    content = message.text.encode() + ids + b"".join(image.data for image in message.images)
    digest = hashlib.shake_256(content).digest(4 * dimensions)
    values = [number / 2**31 - 1 for number in struct.unpack(f"<{dimensions}I", digest)]
    length = math.sqrt(sum(value * value for value in values))
    return tuple(value / length for value in values)
