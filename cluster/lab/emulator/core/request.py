"""The lifecycle of one request: its fault, its in-flight slot, and its entry in the request log."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
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
from cluster.lab.emulator.core.content import RequestContent, RequestMessage
from cluster.lab.emulator.core.engines import Engines
from cluster.lab.emulator.core.faults import Extras, Fault, Faults
from cluster.lab.emulator.core.latency import LatencyModel
from cluster.lab.emulator.core.model_rules import image_tokens
from cluster.lab.emulator.core.prompt_cache import CachePoint, PromptCache
from cluster.lab.emulator.core.request_log import LoggedRequest, RequestLog
from cluster.lab.emulator.core.tools import OfferedTools

MAX_MODEL_CHARS = 128

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RequestProblem:
    """Why a vendor refuses a request: its sentence, and where it has them, its code, parameter and status."""

    message: str
    code: str | None = None
    param: str | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRequest:
    """A parsed request. `wrong` holds the vendor's problem with an invalid one."""

    vendor: str
    model: str = ""
    key: str | None = field(default=None, repr=False)
    stream: bool = False
    content: RequestContent = field(default_factory=RequestContent)
    turns: tuple[RequestMessage, ...] = field(default=(), repr=False)
    """The messages themselves; they are dropped when the request ends."""
    max_tokens: int | None = None
    """The output limit, of thinking and visible text together; 0 for an embedding request."""
    thinking_tokens: int = 0
    """The tokens that the model spends thinking at the request's effort."""
    keyterms: int = 0
    choices: int = 1
    """How many answers are requested at once."""
    tools: OfferedTools = field(default_factory=OfferedTools)
    response_schema: Mapping[str, Any] | None = field(default=None, repr=False)
    """The JSON Schema of the answer; ANY_OBJECT for any JSON object."""
    stop: tuple[str, ...] = ()
    """The stop sequences."""
    service_tier: str | None = None
    """The service tier that the vendor serves for the request, by the vendor's name."""
    cache_points: tuple[CachePoint, ...] = ()
    """The prefixes of the prompt that the vendor caches, in the order of the prompt."""
    include_usage: bool = True
    """Whether a stream ends with its usage."""
    inputs: tuple[RequestContent, ...] = ()
    """The inputs to embed, one vector each."""
    dimensions: int = 0
    as_base64: bool = False
    wrong: RequestProblem | None = None


@dataclass(kw_only=True)
class EmulatorState:
    """The state shared by all requests."""

    seed: int = 7
    latency: LatencyModel = field(default_factory=lambda: LatencyModel(random.Random(7)))
    limits: RateLimits = field(default_factory=RateLimits)
    load: VendorLoad = field(default_factory=VendorLoad)
    models: frozenset[str] | None = None
    """The models that exist; None accepts any."""
    answer_tokens: int = 24
    extras: Extras = field(default_factory=Extras)
    engines: Engines = field(default_factory=Engines)
    clock: Clock = time.time
    sleep: Sleep = asyncio.sleep
    faults: Faults = field(default_factory=Faults)
    journal: RequestLog = field(default_factory=RequestLog)
    prompt_cache: PromptCache = field(default_factory=PromptCache)
    capacity: Capacity = field(init=False)

    def __post_init__(self) -> None:
        self.capacity = Capacity(self.limits, self.load)

    def exchange(self, path: str, parsed: ParsedRequest) -> EmulatedRequest:
        return EmulatedRequest(self, path, parsed)


class EmulatedRequest:
    """An async context that spans one request from its arrival to its end.

    The server cancels the handler of a disconnected client, so that the log has the time of the disconnect.
    """

    def __init__(self, state: EmulatorState, path: str, parsed: ParsedRequest) -> None:
        self._state = state
        self._path = path
        self.request = parsed
        self.fault = Fault()
        self.rejection: LoadRejection | None = None
        self._slot = InFlightSlot(parsed.vendor, parsed.model, parsed.key or "")
        self._number = -1

    async def __aenter__(self) -> EmulatedRequest:
        parsed, state = self.request, self._state
        self._number = state.journal.open(
            LoggedRequest(
                path=self._path,
                vendor=parsed.vendor,
                model=parsed.model[:MAX_MODEL_CHARS],
                stream=parsed.stream,
                images=len(parsed.content.images),
                tools=len(parsed.tools.tools),
                keyterms=parsed.keyterms,
                arrived_at_s=state.clock(),
            )
        )
        self.fault = state.faults.take(parsed.vendor, parsed.model)
        # Vendors charge rate limits for the requested maximum answer, not for the actual one.
        answer_tokens = state.answer_tokens if parsed.max_tokens is None else parsed.max_tokens
        tokens = parsed.content.text_tokens + image_tokens(parsed.vendor, parsed.model, parsed.content) + answer_tokens
        self.rejection = state.capacity.admit(self._slot, tokens, state.clock())
        state.capacity.enter(self._slot)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state.capacity.leave(self._slot)
        if error is not None:
            self.broke()
        if isinstance(error, asyncio.CancelledError | ConnectionError):
            self.note(disconnected_at_s=self._state.clock())
        self.note(ended_at_s=self._state.clock())

    def cached(self) -> Extras:
        """Return the tokens of the prompt that the vendor's cache holds and that it writes now."""
        parsed, state = self.request, self._state
        return state.prompt_cache.use(parsed.key or "", parsed.model, parsed.cache_points, state.clock())

    def limit_status(self) -> LimitStatus:
        return self._state.capacity.limit_status(self._slot)

    def has_model(self) -> bool:
        # Account requests name no model.
        return self._state.models is None or self.request.model in (*self._state.models, "")

    async def first_token(self) -> None:
        """Wait for the time to the first token, which grows with the load."""
        latency, capacity = self._state.latency, self._state.capacity
        await self.pause(latency.first_token_s(self.request.model, capacity.slowdown(self._slot)))

    async def next_tokens(self, tokens: int) -> None:
        latency, capacity = self._state.latency, self._state.capacity
        await self.pause(tokens * latency.next_token_s(self.request.model, capacity.slowdown(self._slot)))

    async def pause(self, seconds: float) -> None:
        # Even a pause of 0 s yields to other tasks, so that a disconnect is noticed.
        await self._state.sleep(seconds)

    def answered(self, status: int) -> None:
        self.note(status=status, answered_at_s=self._state.clock())

    def sent(self, tokens: int) -> None:
        entry = self._state.journal.line(self._number)
        self.note(sent_tokens=tokens + (entry.sent_tokens if entry else 0))

    def broke(self) -> None:
        """Reduce the charge of a stream that ended early to the tokens produced so far."""
        entry = self._state.journal.line(self._number)
        if entry is not None and entry.stream:
            self.note(completion_tokens=min(entry.completion_tokens, entry.sent_tokens + entry.thinking_tokens))

    def note(self, **changes: Any) -> None:
        self._state.journal.change(self._number, **changes)
