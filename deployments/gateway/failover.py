"""Has an order answered: attempt by attempt, each one billed before anything of it leaves. Knows no HTTP and no Ray."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import structlog

from deployments.common.streaming import first_within, raced
from deployments.gateway.metering import BillingContext, Meter, MeteredAttempt
from deployments.gateway.metrics import GatewayMetrics, NoMetrics
from deployments.providers.base import thinks
from deployments.providers.embedding_check import check_vectors
from routing.breaker import Breaker, Breakers, Permit
from routing.catalogue import Catalogue, Model, estimate_ask, estimate_embed
from routing.errors import CostsUnavailable, ProviderError, ProviderOverloaded, ProviderTimeout, RayroomError
from routing.evidence import needs_stronger
from routing.hedge import HedgeBudget, HedgeSettings, hedge_after_s
from routing.latency import RecentLatencies, TargetLatencies
from routing.models import Answer, Delta, EmbeddingResult, EmbedRequest, Message, ModelRequest, Tier, Usage
from routing.policy import Decision
from routing.retry import SHORTEST_ATTEMPT_S, Deadline, FailedAttempt, RetrySettings, RetryStep, next_step

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One attempt about to be made: at which model, with what leave, for how long at most."""

    model: Model
    permit: Permit
    number: int
    tries: int
    """How often its target was asked by now, this time included."""
    timeout_s: float


@dataclass(slots=True, kw_only=True)
class FailoverState:
    """One request on its way: the targets still to try, and how its last attempt ended."""

    targets: deque[Model]
    deadline: Deadline
    attempt_timeout_s: float
    attempts: int = 0
    cost_nanousd: int = 0
    vendor_s: float = 0.0
    """How long vendors were waited for, all attempts together; of a streamed answer until its first piece."""
    heard: bool = False
    error: RayroomError | None = None
    _model: Model | None = field(default=None, repr=False)
    _tries: int = 0

    @property
    def model(self) -> Model | None:
        return self._model

    @property
    def tries(self) -> int:
        """How often the present target was asked."""
        return self._tries

    def redirect(self, models: Iterable[Model]) -> None:
        """Send the rest of the request elsewhere; its deadline, its attempts and its bill go on."""
        self.targets, self.error, self._model = deque(models), None, None

    def begin(self, model: Model, permit: Permit, now_s: float) -> Candidate:
        self.attempts += 1
        self._tries = self._tries + 1 if model is self._model else 1
        self._model = model
        timeout_s = min(self.attempt_timeout_s, self.deadline.remaining_s(now_s))
        return Candidate(model=model, permit=permit, number=self.attempts, tries=self._tries, timeout_s=timeout_s)

    def ended(self, turn: Candidate) -> None:
        """Stand where an attempt ended last: of two at once, what follows is decided by the later end."""
        self._model, self._tries = turn.model, turn.tries


class CandidateQueue:
    """What one replica knows of all its targets, and where it sends a request next."""

    def __init__(
        self,
        retries: RetrySettings,
        breakers: Breakers,
        rng: random.Random,
        clock: Callable[[], float],
        signals: GatewayMetrics | None = None,
    ) -> None:
        self._retries = retries
        self._breakers = breakers
        self._rng = rng
        self._clock = clock
        self._signals = signals or NoMetrics()
        self._times = TargetLatencies()
        self._first_tokens = TargetLatencies()

    def run(self, models: Iterable[Model], attempt_timeout_s: float, total_timeout_s: float) -> FailoverState:
        deadline = Deadline.after(total_timeout_s, self._clock())
        return FailoverState(targets=deque(models), deadline=deadline, attempt_timeout_s=attempt_timeout_s)

    async def next(self, run: FailoverState) -> Candidate | None:
        """Return the next attempt, once the wait before it is over; None when the request is to end with its error."""
        again = False
        if run.error is not None:
            step = self._follows(run, run.error)
            if step.kind == "stop":
                return None
            again = step.kind == "again"
            if step.wait_s:
                await asyncio.sleep(step.wait_s)
        return self.try_now(run, again)

    def try_now(self, run: FailoverState, again: bool = False) -> Candidate | None:
        """Return the first attempt that a breaker gives leave for, the present target first with `again`."""
        now_s = self._clock()
        if not run.deadline.allows(SHORTEST_ATTEMPT_S, now_s):
            run.error = run.error or ProviderTimeout("No time is left to ask a vendor.")
            return None
        if again and run.model is not None:
            run.targets.appendleft(run.model)
        opens_in_s = []
        given_up = run.model if run.error is not None else None
        while run.targets:
            model = run.targets.popleft()
            permit = self._breaker(model).ask(now_s)
            if permit is not None:
                if given_up is not None and given_up is not model:
                    self._signals.fell_back(given_up.name, model.name)
                return run.begin(model, permit, now_s)
            given_up = given_up or model
            opens_in_s.append(self._breaker(model).opens_again_in_s(now_s))
        if run.error is None:
            run.error = ProviderOverloaded(
                "Every vendor for this request is failing; none is asked until it has had time to recover.",
                retry_after_s=min(opens_in_s, default=1.0),
            )
        return None

    def ended(self, turn: Candidate, error: BaseException | None, took_s: float) -> None:
        """Learn how an attempt ended."""
        breaker, now_s = self._breaker(turn.model), self._clock()
        before = breaker.state(now_s)
        breaker.report(turn.permit, error, now_s)
        if error is None:
            self._times.of(turn.model.name).add(took_s)
        if (after := breaker.state(now_s)) is not before:
            self._signals.breaker_turned(turn.model.name, after.value)
            log.warning("breaker turned", vendor=turn.model.vendor, model=turn.model.name, state=after.value)

    def first_tokens(self, model: Model) -> RecentLatencies:
        return self._first_tokens.of(model.name)

    def _follows(self, run: FailoverState, error: RayroomError) -> RetryStep:
        model = run.model
        usual_s = None if model is None else self._times.of(model.name).quantile(0.5)
        failed = FailedAttempt(
            error=error,
            tries=run.tries,
            targets_left=len(run.targets),
            left_s=run.deadline.remaining_s(self._clock()),
            usual_s=usual_s,
            heard=run.heard,
        )
        step = next_step(failed, self._retries, self._rng)
        log.warning("attempt failed", model=model and model.name, error=error.code, then=step.kind, reason=step.reason)
        return step

    def _breaker(self, model: Model) -> Breaker:
        return self._breakers.of(model.vendor, model.name)


A = TypeVar("A", ModelRequest, EmbedRequest)


class AnswerHandle(Protocol):
    """What answers one ask: a deployment behind its handle, or the same class in this process."""

    async def answer(self, ask: ModelRequest) -> Answer: ...


class StreamHandle(AnswerHandle, Protocol):
    """What also answers piece by piece."""

    def stream(self, ask: ModelRequest) -> AsyncGenerator[Delta, None]: ...


class EmbedHandle(Protocol):
    async def embed(self, ask: EmbedRequest) -> EmbeddingResult: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptTimeouts:
    """How long an order may take: one attempt, its first token, from piece to piece, and all attempts together."""

    attempt_s: float
    first_token_s: float
    between_tokens_s: float
    total_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedRequest:
    """A request as decided: who pays, which models in which order, what is asked of them."""

    payer: BillingContext
    decision: Decision
    messages: tuple[Message, ...] = field(repr=False)
    max_output_tokens: int
    temperature: float | None
    timers: AttemptTimeouts
    hedged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedAnswer:
    """An answer, the decision it was given by in the end, and what all its attempts cost together."""

    answer: Answer
    decision: Decision
    cost_nanousd: int
    attempts: int
    vendor_s: float = 0.0
    """How long vendors were waited for; of a streamed answer until its first piece."""


class Failover:
    """Carries orders to the leaves. The bill of each attempt is durable before its answer leaves here."""

    def __init__(
        self,
        catalogue: Catalogue,
        meter: Meter,
        targets: CandidateQueue,
        clock: Callable[[], float],
        hedging: HedgeSettings | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._meter = meter
        self._targets = targets
        self._clock = clock
        self._hedging = hedging or HedgeSettings()
        self._hedges = HedgeBudget(self._hedging)

    async def answer(self, leaf: AnswerHandle, order: RoutedRequest) -> RoutedAnswer:
        """Return the first answer, or a stronger model's where the cheap one's shows that it is needed.

        Raises the last ProviderError, or what the bill or the leaf's queue raised.
        """
        run = self._run(order)
        answered = await self._answer(leaf, order, run)
        reason = needs_stronger(answered.answer) if order.decision.stronger else None
        if reason is None:
            return answered
        return await self._escalate(leaf, order, run, answered, reason)

    async def _answer(self, leaf: AnswerHandle, order: RoutedRequest, run: FailoverState) -> RoutedAnswer:
        while (turn := await self._targets.next(run)) is not None:
            try:
                async with self._attempt(order, run, turn, estimate_ask(turn.model, ask := _ask(order, turn))) as leg:
                    answer = await leaf.answer(self._in_time(run, ask))
                    run.vendor_s += answer.vendor_s
                    leg.answered(answer.usage, answer.text)
            except RayroomError as error:
                run.error = error
                continue
            return _answered(answer, order.decision, run)
        raise run.error or ProviderError()

    async def _escalate(
        self, leaf: AnswerHandle, order: RoutedRequest, run: FailoverState, weak: RoutedAnswer, reason: str
    ) -> RoutedAnswer:
        """Return the strong tier's answer, both billed; the weak one where the strong tier has none, for any reason."""
        reasons = (*order.decision.reasons, f"escalated: {reason}")
        targets = order.decision.stronger
        decision = replace(order.decision, tier=Tier.COMPLEX, targets=targets, stronger=(), reasons=reasons)
        run.redirect(map(self._catalogue.get, targets))
        try:
            return await self._answer(leaf, replace(order, decision=decision), run)
        except RayroomError as error:
            kept = replace(order.decision, reasons=(*reasons, f"kept: {error.code}"))
            return _answered(weak.answer, kept, run)

    async def stream(self, leaf: StreamHandle, order: RoutedRequest) -> AsyncGenerator[Delta | RoutedAnswer, None]:
        """Yield the answer as it comes, then an Answered with its whole bill. Falls back before the first delta only.

        Raises as `answer` does.
        """
        run = self._run(order)
        self._hedges.request()
        while (turn := await self._targets.next(run)) is not None:
            whole = None
            try:
                async with aclosing(self._legs(leaf, order, run, turn)) as pieces:
                    async for piece in pieces:
                        run.heard = True
                        if isinstance(piece, Answer):
                            whole = piece
                        else:
                            yield piece
            except RayroomError as error:
                run.error = error
                continue
            if whole is not None:
                # Not before every leg has ended: a slower one has its cost too.
                yield _answered(whole, order.decision, run)
            return
        raise run.error or ProviderError()

    def _legs(
        self, leaf: StreamHandle, order: RoutedRequest, run: FailoverState, turn: Candidate
    ) -> AsyncGenerator[Delta | Answer, None]:
        """Return one attempt's pieces, or those of the faster of two where the first is late."""
        first = self._leg(leaf, order, run, turn)
        if not order.hedged or not run.targets:
            return first
        times, other = self._targets.first_tokens(turn.model), self._targets.first_tokens(run.targets[0])
        after_s = hedge_after_s(times, other, order.timers.first_token_s, self._hedging)
        if after_s is None:
            return first

        def second() -> AsyncGenerator[Delta | Answer, None] | None:
            another = self._targets.try_now(run) if self._hedges.take() else None
            return None if another is None else self._leg(leaf, order, run, another)

        return raced(first, second, after_s)

    async def _leg(
        self, leaf: StreamHandle, order: RoutedRequest, run: FailoverState, turn: Candidate
    ) -> AsyncGenerator[Delta | Answer, None]:
        """Yield one attempt's text, and the whole Answer once its bill is durable."""
        ask, said, started_s = _ask(order, turn), list[Delta](), self._clock()
        model = self._meter.served_name(turn.model)
        async with (
            self._attempt(order, run, turn, estimate_ask(turn.model, ask)) as leg,
            aclosing(first_within(leaf.stream(self._in_time(run, ask)), ask.first_token_timeout_s)) as deltas,
        ):
            if not thinks(ask):
                leg.tells_all()
            async for delta in deltas:
                if not said:
                    self._targets.first_tokens(turn.model).add(self._clock() - started_s)
                leg.heard(delta)
                said.append(delta)
                run.vendor_s += delta.vendor_s
                if delta.text:
                    yield Delta(text=delta.text, model=model, vendor_s=run.vendor_s)
        yield _whole(said, model, self._meter.simulated(turn.model))

    async def embed(self, leaf: EmbedHandle, order: RoutedRequest) -> tuple[EmbeddingResult, int]:
        """Return the vectors and what they cost; raises as `answer` does."""
        run = self._run(order)
        while (turn := await self._targets.next(run)) is not None:
            ask = EmbedRequest(model=turn.model.name, inputs=order.messages, timeout_s=turn.timeout_s)
            try:
                async with self._attempt(order, run, turn, estimate_embed(ask)) as leg:
                    embeddings = await leaf.embed(self._in_time(run, ask))
                    leg.answered(embeddings.usage)
                    check_vectors(turn.model, embeddings, len(order.messages))
            except RayroomError as error:
                run.error = error
                continue
            return embeddings, run.cost_nanousd
        raise run.error or ProviderError()

    @asynccontextmanager
    async def _attempt(
        self, order: RoutedRequest, run: FailoverState, turn: Candidate, estimate: Usage
    ) -> AsyncIterator[MeteredAttempt]:
        """Bill what happens inside, and tell the breaker how it ended, whatever ends it."""
        leg = self._meter.leg(order.payer, turn.model, estimate, turn.number, turn.timeout_s)
        started_s = asked_s = self._clock()
        ended: BaseException | None = None
        try:
            async with leg:
                asked_s = self._clock()
                if not run.deadline.allows(SHORTEST_ATTEMPT_S, self._clock()):
                    # The journal took the time that the vendor was to have.
                    raise CostsUnavailable(retry_after_s=1.0)
                yield leg
        except BaseException as error:
            ended = error
            if isinstance(error, ProviderError):
                # The leaf tells of an answer how long it took; of a failure nobody does.
                run.vendor_s += self._clock() - asked_s
            raise
        finally:
            run.cost_nanousd += leg.cost_nanousd
            run.ended(turn)
            self._targets.ended(turn, ended, self._clock() - started_s)

    def _in_time(self, run: FailoverState, ask: A) -> A:
        """Return an ask with no more time than its request still has: the journal may have taken some of it."""
        return replace(ask, timeout_s=min(ask.timeout_s, run.deadline.remaining_s(self._clock())))

    def _run(self, order: RoutedRequest) -> FailoverState:
        models = [self._catalogue.get(name) for name in order.decision.targets]
        return self._targets.run(models, order.timers.attempt_s, order.timers.total_s)


def _ask(order: RoutedRequest, turn: Candidate) -> ModelRequest:
    return ModelRequest(
        model=turn.model.name,
        messages=order.messages,
        max_output_tokens=min(order.max_output_tokens, turn.model.max_output_tokens),
        temperature=order.temperature,
        timeout_s=turn.timeout_s,
        first_token_timeout_s=min(order.timers.first_token_s, turn.timeout_s),
        between_tokens_timeout_s=order.timers.between_tokens_s,
    )


def _answered(answer: Answer, decision: Decision, run: FailoverState) -> RoutedAnswer:
    return RoutedAnswer(
        answer=answer, decision=decision, cost_nanousd=run.cost_nanousd, attempts=run.attempts, vendor_s=run.vendor_s
    )


def _whole(said: list[Delta], model: str, simulated: bool) -> Answer:
    usages = [delta.usage for delta in said if delta.usage is not None]
    return Answer(
        text="".join(delta.text for delta in said),
        model=model,
        finish=said[-1].finish or "stop",
        usage=sum(usages, Usage()) if usages else None,
        simulated=simulated,
    )
