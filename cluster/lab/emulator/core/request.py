"""Follows one request through the emulator: its fault, its place among those in flight, its line in the journal."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from cluster.lab.emulator.core.capacity import (
    Capacity,
    InFlightSlot,
    LimitStatus,
    LoadRejection,
    RateLimits,
    VendorLoad,
)
from cluster.lab.emulator.core.content import RequestContent, RequestMessage, TokenCounts, image_tokens
from cluster.lab.emulator.core.engines import Engines
from cluster.lab.emulator.core.faults import Extras, Fault, Faults
from cluster.lab.emulator.core.latency import LatencyModel
from cluster.lab.emulator.core.request_log import LoggedRequest, RequestLog

MAX_MODEL_CHARS = 128

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRequest:
    """A request as read: who asks which model for what. A request that is wrong carries what its vendor says of it."""

    vendor: str
    model: str = ""
    key: str | None = field(default=None, repr=False)
    stream: bool = False
    content: RequestContent = field(default_factory=RequestContent)
    turns: tuple[RequestMessage, ...] = field(default=(), repr=False)
    """The messages themselves, for as long as the request lasts."""
    most_tokens: int | None = None
    """How long the answer may be; vectors are asked for with 0."""
    tell_usage: bool = True
    """Whether a stream ends with its usage."""
    inputs: tuple[RequestContent, ...] = ()
    """What is to be embedded, one vector each."""
    dimensions: int = 0
    as_base64: bool = False
    wrong: str | None = None


@dataclass(kw_only=True)
class EmulatorState:
    """What all requests share."""

    seed: int = 7
    pace: LatencyModel = field(default_factory=lambda: LatencyModel(random.Random(7)))
    limits: RateLimits = field(default_factory=RateLimits)
    load: VendorLoad = field(default_factory=VendorLoad)
    models: frozenset[str] | None = None
    """The models there are; None is any."""
    answer_tokens: int = 24
    extras: Extras = field(default_factory=Extras)
    senses: Engines = field(default_factory=Engines)
    clock: Clock = time.time
    sleep: Sleep = asyncio.sleep
    faults: Faults = field(default_factory=Faults)
    journal: RequestLog = field(default_factory=RequestLog)
    pressure: Capacity = field(init=False)

    def __post_init__(self) -> None:
        self.pressure = Capacity(self.limits, self.load)

    def exchange(self, path: str, asked: ParsedRequest) -> EmulatedRequest:
        return EmulatedRequest(self, path, asked)


class EmulatedRequest:
    """One request, from its arrival to its end: an async context.

    The server cancels the handler of a client that left, so the journal says when that was.
    """

    def __init__(self, house: EmulatorState, path: str, asked: ParsedRequest) -> None:
        self._house = house
        self._path = path
        self.asked = asked
        self.fault = Fault()
        self.pushback: LoadRejection | None = None
        self._place = InFlightSlot(asked.vendor, asked.model, asked.key or "")
        self._number = -1

    async def __aenter__(self) -> EmulatedRequest:
        asked, house = self.asked, self._house
        self._number = house.journal.open(
            LoggedRequest(
                path=self._path,
                vendor=asked.vendor,
                model=asked.model[:MAX_MODEL_CHARS],
                stream=asked.stream,
                images=len(asked.content.image_px),
                arrived_at_s=house.clock(),
            )
        )
        self.fault = house.faults.take(asked.vendor, asked.model)
        # Vendors charge a limit for the longest answer that was asked for, whatever is said in the end.
        answer_tokens = house.answer_tokens if asked.most_tokens is None else asked.most_tokens
        tokens = asked.content.text_tokens + image_tokens(asked.vendor, asked.model, asked.content) + answer_tokens
        self.pushback = house.pressure.push_back(self._place, tokens, house.clock())
        house.pressure.enter(self._place)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._house.pressure.leave(self._place)
        if error is not None:
            self.broke()
        if isinstance(error, asyncio.CancelledError | ConnectionError):
            self.note(disconnected_at_s=self._house.clock())
        self.note(ended_at_s=self._house.clock())

    def standing(self) -> LimitStatus:
        return self._house.pressure.standing(self._place)

    def knows_model(self) -> bool:
        # What is asked of an account names no model.
        return self._house.models is None or self.asked.model in (*self._house.models, "")

    async def first_token(self) -> None:
        """Wait as long as the model thinks, the longer the more it has to do."""
        pace, pressure = self._house.pace, self._house.pressure
        await self.pause(pace.first_token_s(self.asked.model, pressure.slowdown(self._place)))

    async def next_tokens(self, tokens: int) -> None:
        pace, pressure = self._house.pace, self._house.pressure
        await self.pause(tokens * pace.next_token_s(self.asked.model, pressure.slowdown(self._place)))

    async def pause(self, seconds: float) -> None:
        # Even no time at all lets the others run, and lets a client's leaving be noticed.
        await self._house.sleep(seconds)

    def count(self, counted: TokenCounts) -> None:
        """Write down what the vendor charges for the whole answer."""
        extras = counted.extras
        self.note(
            prompt_tokens=counted.input_tokens,
            completion_tokens=counted.output_tokens,
            cached_tokens=extras.cached_tokens,
            cache_write_5m_tokens=extras.cache_write_5m_tokens,
            cache_write_1h_tokens=extras.cache_write_1h_tokens,
            thinking_tokens=extras.thinking_tokens,
            image_tokens=counted.image_tokens,
            image_px=counted.image_px,
        )

    def answered(self, status: int) -> None:
        self.note(status=status, answered_at_s=self._house.clock())

    def sent(self, tokens: int) -> None:
        seen = self._house.journal.line(self._number)
        self.note(sent_tokens=tokens + (seen.sent_tokens if seen else 0))

    def broke(self) -> None:
        """Charge a stream that ends early for what had been produced of it."""
        seen = self._house.journal.line(self._number)
        if seen is not None and seen.stream:
            self.note(completion_tokens=min(seen.completion_tokens, seen.sent_tokens + seen.thinking_tokens))

    def note(self, **changes: Any) -> None:
        self._house.journal.change(self._number, **changes)
