"""Tries a decision's models in order until one answers, within one deadline; every attempt is billed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from deployments.bill import Meter, Payer
from deployments.streams import first_within
from routing.catalogue import Catalogue, Model, estimate_ask, estimate_embed
from routing.deadline import Deadline
from routing.errors import ProviderError, ProviderTimeout, ReplicaLost
from routing.messages import Answer, Ask, Delta, EmbedAsk, Embeddings, Message, Usage
from routing.policy import Decision

SHORTEST_ATTEMPT_S = 0.2


class AnswerLeaf(Protocol):
    """What answers one ask: a deployment behind its handle, or the same class in this process."""

    async def answer(self, ask: Ask) -> Answer: ...


class StreamLeaf(AnswerLeaf, Protocol):
    """What also answers piece by piece."""

    def stream(self, ask: Ask) -> AsyncGenerator[Delta, None]: ...


class EmbedLeaf(Protocol):
    async def embed(self, ask: EmbedAsk) -> Embeddings: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A request as decided: who pays, which models in which order, what is asked of them."""

    payer: Payer
    decision: Decision
    messages: tuple[Message, ...] = field(repr=False)
    max_output_tokens: int
    temperature: float | None
    attempt_timeout_s: float
    first_token_timeout_s: float
    total_timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer, what all its attempts cost together, and how many they were."""

    answer: Answer
    cost_nanousd: int
    attempts: int


@dataclass(slots=True)
class _Run:
    """One request on its way through its targets."""

    models: list[Model]
    deadline: Deadline
    cost_nanousd: int = 0
    attempts: int = 0
    last_error: ProviderError | None = None
    repeated: bool = False

    def failed(self, model: Model, error: ProviderError) -> None:
        self.last_error = error
        if isinstance(error, ReplicaLost) and not self.repeated:
            # The model is well, our replica was not: another one may ask it again, once.
            self.repeated = True
            self.models.insert(0, model)


class Attempts:
    """Carries orders to the leaves. The bill of each attempt is durable before its answer leaves here."""

    def __init__(self, catalogue: Catalogue, meter: Meter, clock: Callable[[], float]) -> None:
        self._catalogue = catalogue
        self._meter = meter
        self._clock = clock

    async def answer(self, leaf: AnswerLeaf, order: Order) -> Answered:
        """Return the first answer; raises the last ProviderError, or what the bill or the leaf's queue raised."""
        run = self._run(order)
        for model, timeout_s in self._next(run, order.attempt_timeout_s):
            ask = _ask(model, order, timeout_s)
            leg = self._meter.leg(order.payer, model, estimate_ask(model, ask), run.attempts, timeout_s)
            try:
                async with leg:
                    answer = await leaf.answer(ask)
                    leg.answered(answer.usage)
            except ProviderError as error:
                run.failed(model, error)
                run.cost_nanousd += leg.cost_nanousd
                continue
            return Answered(answer=answer, cost_nanousd=run.cost_nanousd + leg.cost_nanousd, attempts=run.attempts)
        raise run.last_error or ProviderTimeout()

    async def stream(self, leaf: StreamLeaf, order: Order) -> AsyncGenerator[Delta | Answered, None]:
        """Yield the answer as it comes, then an Answered with its whole bill. Falls back before the first delta only.

        Raises as `answer` does.
        """
        run = self._run(order)
        for model, timeout_s in self._next(run, order.attempt_timeout_s):
            ask = _ask(model, order, timeout_s)
            leg = self._meter.leg(order.payer, model, estimate_ask(model, ask), run.attempts, timeout_s)
            said: list[Delta] = []
            try:
                async with leg, aclosing(first_within(leaf.stream(ask), order.first_token_timeout_s)) as deltas:
                    async for delta in deltas:
                        leg.heard(delta)
                        said.append(delta)
                        if delta.text:
                            yield Delta(text=delta.text, model=self._meter.served_name(model))
            except ProviderError as error:
                run.failed(model, error)
                run.cost_nanousd += leg.cost_nanousd
                if said:
                    raise
                continue
            cost_nanousd = run.cost_nanousd + leg.cost_nanousd
            yield Answered(answer=self._whole(model, said), cost_nanousd=cost_nanousd, attempts=run.attempts)
            return
        raise run.last_error or ProviderTimeout()

    async def embed(self, leaf: EmbedLeaf, order: Order) -> tuple[Embeddings, int]:
        """Return the vectors and what they cost; raises as `answer` does."""
        run = self._run(order)
        for model, timeout_s in self._next(run, order.attempt_timeout_s):
            ask = EmbedAsk(model=model.name, inputs=order.messages, timeout_s=timeout_s)
            leg = self._meter.leg(order.payer, model, estimate_embed(ask), run.attempts, timeout_s)
            try:
                async with leg:
                    embeddings = await leaf.embed(ask)
                    leg.answered(embeddings.usage)
            except ProviderError as error:
                run.failed(model, error)
                run.cost_nanousd += leg.cost_nanousd
                continue
            return embeddings, run.cost_nanousd + leg.cost_nanousd
        raise run.last_error or ProviderTimeout()

    def _run(self, order: Order) -> _Run:
        models = [self._catalogue.get(name) for name in order.decision.targets]
        return _Run(models, Deadline.after(order.total_timeout_s, self._clock()))

    def _next(self, run: _Run, longest_s: float) -> Iterator[tuple[Model, float]]:
        """Yield the models still to try, each with the time it has, while there is time for one more."""
        while run.models and run.deadline.allows(SHORTEST_ATTEMPT_S, self._clock()):
            run.attempts += 1
            yield run.models.pop(0), min(longest_s, run.deadline.remaining_s(self._clock()))

    def _whole(self, model: Model, said: list[Delta]) -> Answer:
        usage = sum((delta.usage for delta in said if delta.usage is not None), Usage())
        return Answer(
            text="".join(delta.text for delta in said),
            model=self._meter.served_name(model),
            finish=said[-1].finish or "stop",
            usage=usage if any(delta.usage is not None for delta in said) else None,
            simulated=self._meter.simulated(model),
        )


def _ask(model: Model, order: Order, timeout_s: float) -> Ask:
    return Ask(
        model=model.name,
        messages=order.messages,
        max_output_tokens=min(order.max_output_tokens, model.max_output_tokens),
        temperature=order.temperature,
        timeout_s=timeout_s,
        first_token_timeout_s=min(order.first_token_timeout_s, timeout_s),
    )
