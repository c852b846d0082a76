"""Every vendor's real client at one emulator, a gateway over them, and the outcome of its requests."""

from __future__ import annotations

import copy
import datetime as dt
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from cluster.lab.emulator import Emulator, LoggedRequest
from deployments.api.access.room_tokens import issue_token
from deployments.api.chat.schemas import ChatRequest
from deployments.api.embedding_schemas import EmbeddingRequest
from deployments.api.frame_schemas import FrameHeaders
from deployments.common.settings import (
    EmbeddingsSettings,
    KnowledgeSettings,
    RoomSettings,
    ServiceSettings,
    TierSeconds,
    VendorSettings,
    VisionSettings,
)
from deployments.gateway.frame_prompt import frame_of_jpeg
from deployments.gateway.models import GatewaySettings, ModelHandles, RoutedAnswer
from deployments.gateway.service import Gateway
from deployments.model_replica import ModelReplica
from routing.billing.usage_means import UsageHistory
from routing.breaker import BreakerSettings
from routing.catalogue import load_catalogue
from routing.errors import RayroomError
from routing.fairness import FairnessSettings
from routing.models import Tier, Usage
from routing.prices import Price
from routing.retry import RetrySettings
from routing.rooms import parse_room
from tests.integration.gateway.fault_table import ROUTES, Case, Route, Timers
from tests.support.gateway import FAST, KEYS, InProcessCluster, Tenants, chat, chat_stream, jpeg

CATALOGUE = load_catalogue()
TOKEN = issue_token(parse_room("tenant_acme_standup"), "job-1", 900, 0.0)
QUESTION, PICTURE, PROMPT = "What is on the screen?", jpeg(), VisionSettings(simple=("-",), complex=("-",)).prompt
TEXTS = (QUESTION, "And what is not?")
CHAT = ChatRequest.model_validate({"model": "simple", "messages": [{"role": "user", "content": QUESTION}]})
HEADERS = FrameHeaders.model_validate({"captured_at": 1.0, "track": "TR_1"})
VECTORS = EmbeddingRequest.model_validate({"input": list(TEXTS)})
MOST_TOKENS = 64
CLOSED_PORT_URL = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Bench:
    """One emulator, the real clients of its vendors, and a journal on disk: made once for all tests of a file."""

    emulator: Emulator
    leaf: ModelReplica
    cluster: InProcessCluster
    without: dict[str, ModelReplica] = field(default_factory=dict)
    logged: dict[tuple[str, str], LoggedRequest] = field(default_factory=dict)
    """The vendor's log of a good answer, by model and kind of request."""
    good_answer_means: UsageHistory = field(default_factory=UsageHistory)
    """The means of good answers, with which each test begins."""

    @classmethod
    @asynccontextmanager
    async def running(cls, path: Path) -> AsyncIterator[Bench]:
        async with Emulator().running() as emulator:
            bench = cls(
                emulator, ModelReplica(vendors(emulator), FAST, load_catalogue()), InProcessCluster(path / "journal.db")
            )
            bench.leaf.warm_up()
            await bench.record_good_answers()
            yield bench
            for leaf in (bench.leaf, *bench.without.values()):
                await leaf.aclose()
            await bench.cluster.aclose()

    async def record_good_answers(self) -> None:
        """Let each model answer each kind of request once."""
        for route in ROUTES:
            for model in (route.model, route.after):
                self.leaf._calls._history = self.good_answer_means
                async with gateway(self, (model,), Timers()) as (router, _):
                    await ended(router, route.how)
                self.logged[model, route.how] = self.emulator.journal[-1]

    def leaf_without(self, vendor: str) -> ModelReplica:
        """Return clients of which one vendor's port is closed."""
        if vendor not in self.without:
            self.without[vendor] = ModelReplica(
                vendors(self.emulator, **{vendor: CLOSED_PORT_URL}), FAST, load_catalogue()
            )
        return self.without[vendor]

    async def fresh(self) -> Bench:
        """Return the bench with no fault planned, both journals empty and the means of good answers alone."""
        self.leaf._calls._history = copy.deepcopy(self.good_answer_means)
        self.emulator.faults.clear()
        self.emulator.journal.clear()
        for table in ("open_events", "settled"):
            statement = f"DELETE FROM {table}"
            await self.cluster.recorder.run_on_journal_thread(partial(self.cluster.journal._db.execute, statement))
        return self


def vendors(emulator: Emulator, **elsewhere: str) -> dict[str, VendorSettings]:
    """Return every vendor's settings, at the emulator or at its address in `elsewhere`."""
    urls = emulator.base_urls() | elsewhere
    names = ("openai", "anthropic", "gemini", "voyage")
    return {name: VendorSettings.model_validate({"api": name, "base_url": urls[name]}) for name in names}


@asynccontextmanager
async def gateway(
    bench: Bench,
    targets: tuple[str, ...],
    timers: Timers,
    leaf: ModelReplica | None = None,
    total_timeout_s: float = 5.0,
    **changes: Any,
) -> AsyncIterator[tuple[Gateway, InProcessCluster]]:
    """Yield a gateway whose every service has these targets, no stronger ones; `changes` are of its GatewaySettings."""
    times: dict[str, Any] = {
        "attempt_timeout_s": timers.attempt_s,
        "first_token_timeout_s": TierSeconds(simple=timers.first_token_s, complex=timers.first_token_s),
        "between_tokens_timeout_s": timers.between_tokens_s,
        "total_timeout_s": total_timeout_s,
        "max_output_tokens": MOST_TOKENS,
        "plan_tiers": {"pro": Tier.SIMPLE},
    }
    settings = GatewaySettings(
        llm=ServiceSettings(simple=targets, complex=targets, **times),
        vision=VisionSettings(simple=targets, complex=targets, **times),
        embeddings=EmbeddingsSettings(
            models=targets, attempt_timeout_s=timers.attempt_s, total_timeout_s=total_timeout_s
        ),
        rooms=RoomSettings(),
        simulated_vendors=frozenset(),
        intent_grace_s=60,
        breakers=BreakerSettings(),
        retries=RetrySettings(first_wait_s=0.01),
        fairness=FairnessSettings(),
        knowledge=KnowledgeSettings(),
    )
    leaf = leaf or bench.leaf
    leaves = ModelHandles(vision=leaf, llm=leaf, embeddings=leaf)
    settings = replace(settings, **changes)
    router = Gateway(settings, CATALOGUE, KEYS, leaves, bench.cluster, Tenants(), rng=random.Random(7))
    router.meter._history = copy.deepcopy(bench.good_answer_means)
    yield router, bench.cluster


def calls(case: Case, another: bool) -> int:
    """Return the number of vendor calls that a fault costs, where another model is left or not."""
    return case.calls_before_another or case.calls if another else case.calls


@asynccontextmanager
async def faulty(
    bench: Bench, route: Route, case: Case, *after: str
) -> AsyncIterator[tuple[Gateway, InProcessCluster]]:
    """Yield a gateway whose first model has the case's fault for the case's number of calls."""
    if case.fault is not None:
        bench.emulator.plan(case.fault, model=route.model, times=calls(case, bool(after)))
    leaf = bench.leaf if case.fault is not None else bench.leaf_without(route.vendor)
    async with gateway(bench, (route.model, *after), case.timers, leaf) as both:
        yield both


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The outcome of a request: its error or finish marker, the received text, the model and the cost."""

    how: type[RayroomError] | str
    text: str = ""
    model: str | None = None
    cost_nanousd: int | None = None


async def ended(gateway: Gateway, how: str) -> Ended:
    """Send a request and return its outcome."""
    received: list[str] = []
    try:
        if how == "embedding":
            embeddings, cost_nanousd = await gateway.embed(await gateway.admit(TOKEN, "embeddings"), VECTORS)
            assert len(set(embeddings.vectors)) == 2
            return Ended(how="stop", model=embeddings.model, cost_nanousd=cost_nanousd)
        answered = await answer(gateway, how, received)
    except RayroomError as error:
        return Ended(how=type(error), text="".join(received))
    final = answered.answer
    return Ended(how=final.finish, text=final.text, model=final.model, cost_nanousd=answered.cost_nanousd)


async def answer(gateway: Gateway, how: str, received: list[str]) -> RoutedAnswer:
    """Return the answer; the deltas of a stream are appended to `received`, also where it breaks."""
    if how == "frame":
        frame = frame_of_jpeg(PICTURE, gateway.settings.vision.max_image_px)
        return await gateway.frame(await gateway.admit(TOKEN, "vision"), HEADERS, frame)
    if how == "whole":
        return await chat(gateway, TOKEN, CHAT)
    async for piece in await chat_stream(gateway, TOKEN, CHAT):
        if isinstance(piece, RoutedAnswer):
            assert piece.answer.text == "".join(received)
            return piece
        received.append(piece.text)
    raise AssertionError("a stream ended without its bill")


def charged(seen: LoggedRequest) -> Usage:
    """Return the usage that the vendor charges for a request."""
    return Usage(
        input_tokens=seen.prompt_tokens,
        cached_input_tokens=seen.cached_tokens,
        cache_write_tokens=seen.cache_write_tokens,
        cache_write_1h_tokens=seen.cache_write_1h_tokens,
        output_tokens=seen.completion_tokens,
        image_px=seen.image_px if seen.vendor == "voyage" else 0,
    )


def prompt_of(good: LoggedRequest) -> Usage:
    """Return the usage of a request whose answer has no visible text."""
    return replace(charged(good), output_tokens=good.thinking_tokens)


def price_of(model: str) -> Price:
    return CATALOGUE.price(model, dt.datetime.now(dt.UTC).date())


def is_near(cost_nanousd: object, model: str, usage: Usage) -> bool:
    """Return whether a cost differs from that of the usage by at most a tenth, or by one output token."""
    price = price_of(model)
    expected = price.cost_nanousd(usage)
    tolerance = max(expected // 10, price.cost_nanousd(Usage(output_tokens=1)) if price.output_pico else 0)
    return abs(int(str(cost_nanousd)) - expected) <= tolerance


async def written(cluster: InProcessCluster) -> list[tuple[object, ...]]:
    """Return each attempt's row in the journal: its model, its cost, and whether that is an estimate."""
    return [(row["model"], row["cost_nanousd"], row["estimated"]) for row in await cluster.events()]
