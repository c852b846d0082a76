"""Hand out the attempts of a request: retries, the next candidate model, circuit breakers, and one deadline for all."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from deployments.gateway.first_tokens import FirstTokenTimer, FirstTokenTimes
from deployments.gateway.metering import Meter, MeteredAttempt
from deployments.gateway.metrics import GatewayMetrics
from deployments.gateway.models import RoutedRequest
from routing.billing.charges import is_cancelled
from routing.breaker import Breaker, Breakers, BreakerState, Permit
from routing.catalogue import Catalogue, Model
from routing.chat import Effort
from routing.errors import (
    ContextTooLong,
    CostsUnavailable,
    ProviderContextTooLong,
    ProviderError,
    ProviderOverloaded,
    ProviderRefused,
    ProviderTimeout,
    RayroomError,
    RequestRefused,
)
from routing.latency import ModelLatencies
from routing.models import Usage
from routing.policy import Decision
from routing.retry import MIN_ATTEMPT_S, FailedAttempt, RetrySettings, RetryStep, next_step, refusal_cause
from routing.telemetry.attempt_end import AttemptEnd, describe_attempt
from routing.telemetry.tracing import NO_SPAN, Span, start_span

log = structlog.get_logger()


class Failover:
    """One replica's view of its candidate models: a circuit breaker and the recent latencies of each."""

    def __init__(
        self,
        catalogue: Catalogue,
        meter: Meter,
        retries: RetrySettings,
        breakers: Breakers,
        rng: random.Random,
        clock: Callable[[], float],
        metrics: GatewayMetrics | None = None,
        first_token_p99_s: Mapping[str, float] | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.meter = meter
        self.clock = clock
        self._retries = retries
        self._breakers = breakers
        self._rng = rng
        self._metrics = metrics or GatewayMetrics()
        self._latencies = ModelLatencies()
        self._first_tokens = FirstTokenTimes(first_token_p99_s or {}, clock)

    def attempts(self, request: RoutedRequest) -> FailoverRun:
        """Return the request's run; its deadline starts now."""
        return FailoverRun(
            failover=self,
            request=request,
            decision=request.decision,
            models=deque(map(self.catalogue.get, request.decision.targets)),
            ends_at_s=self.clock() + request.timeouts.total_s,
        )

    def breaker(self, model: Model) -> Breaker:
        return self._breakers.of(model.vendor, model.name)

    def first_token_timer(self, candidate: Candidate, effort: Effort | None) -> FirstTokenTimer:
        """Return the timer of a first token. It is limited to the model's p99 only while another model can follow."""
        run, now_s = candidate.run, self.clock()
        longest_s = min(run.request.timeouts.first_token_s, candidate.timeout_s)
        can_follow = any(self.breaker(model).state(now_s) is not BreakerState.OPEN for model in run.models)
        least_s = run.request.timeouts.first_token_least_s if can_follow else longest_s
        return self._first_tokens.timer(candidate.model.name, effort, least_s, longest_s)

    def count_fallback(self, model: Model, to: Model) -> None:
        self._metrics.fell_back(model.name, to.name)

    def report(self, candidate: Candidate, end: AttemptEnd, error: BaseException | None) -> None:
        """Report the end of an attempt to its model's breaker; the latency of a success is remembered."""
        model = candidate.model
        self._metrics.attempt_ended(end)
        turned = candidate.breaker.report(candidate.permit, error, self.clock())
        if error is None:
            self._latencies.add(model.name, end.took_s)
        if turned is not None:
            self._metrics.breaker_turned(model.name, turned.value)
            log.warning("breaker turned", vendor=model.vendor, model=model.name, state=turned.value)

    def next_step(self, run: FailoverRun, candidate: Candidate, error: RayroomError) -> RetryStep:
        """Decide the step after a failed attempt: the same model again, the next candidate, or the request's end."""
        model = candidate.model
        failed = FailedAttempt(
            error=error,
            tries=run.tries,
            targets_left=len(run.models),
            left_s=run.left_s(),
            median_s=self._latencies.median_s(model.name),
            answer_begun=run.streaming,
            streamed=candidate.timer is not None,
            may_grow=not candidate.more_room and run.request.max_output_tokens < model.max_output_tokens,
        )
        step = next_step(failed, self._retries, self._rng)
        if step.more_room:
            self._metrics.requested_again(model.name)
        self._metrics.step_taken(model.name, step)
        if isinstance(error, ProviderRefused):
            self._metrics.refused(model.name, refusal_cause(error))
        log.warning("attempt failed", model=model.name, error=error.code, then=step.kind, reason=step.reason)
        return step


@dataclass(slots=True, kw_only=True)
class FailoverRun:
    """One request's run: an async iterator that waits where a retry must, and yields the next attempt to make.

    It is a class and not a generator: the consumer leaves the loop with its answer, and an abandoned generator would
    be closed only when it is collected. Raises the last error where no attempt may follow.
    """

    failover: Failover = field(repr=False)
    request: RoutedRequest
    decision: Decision
    """The request's, until its answer is escalated."""
    models: deque[Model]
    """The candidates that are still to be tried."""
    ends_at_s: float
    attempts: int = 0
    tries: int = 0
    """How many attempts the present model has had."""
    cost_nanousd: int = 0
    vendor_s: float = 0.0
    """Seconds spent waiting for vendors in all attempts; of a streamed answer, until its first delta."""
    streaming: bool = False
    """Whether a part of the answer has left: from then on no other attempt may follow."""
    _model: Model | None = None
    _error: RayroomError | None = None
    _step: RetryStep | None = None

    def redirect(self, decision: Decision) -> None:
        """Send the rest of the request to other models; its deadline, its attempts and its cost go on."""
        self.decision = decision
        self.models = deque(map(self.failover.catalogue.get, decision.targets))
        self._model = self._error = self._step = None

    def left_s(self) -> float:
        """Return the seconds until the request's deadline."""
        return max(0.0, self.ends_at_s - self.failover.clock())

    def __aiter__(self) -> FailoverRun:
        return self

    async def __anext__(self) -> Candidate:
        step, self._step = self._step, None
        if step is not None and step.wait_s:
            await asyncio.sleep(step.wait_s)
        if self.left_s() < MIN_ATTEMPT_S:
            raise self._error or ProviderTimeout("No time is left for a vendor call.")
        if step is not None and step.kind == "again" and self._model is not None:
            self.models.appendleft(self._model)
        return self._first_permitted(more_room=step is not None and step.more_room)

    def _first_permitted(self, more_room: bool) -> Candidate:
        """Return an attempt at the first model whose breaker permits one; raises ProviderError where none does."""
        now_s, opens_in_s = self.failover.clock(), list[float]()
        given_up = self._model if self._error is not None else None
        while self.models:
            model = self.models.popleft()
            breaker = self.failover.breaker(model)
            permit = breaker.acquire(now_s)
            if permit is None:
                given_up = given_up or model
                opens_in_s.append(breaker.retry_after_s(now_s))
                continue
            if given_up is not None and given_up is not model:
                self.failover.count_fallback(given_up, model)
            self.attempts += 1
            more_room = more_room and model is self._model
            self.tries = self.tries + 1 if model is self._model else 1
            self._model = model
            timeout_s = min(self.request.timeouts.attempt_s, self.left_s())
            return Candidate(
                run=self, model=model, breaker=breaker, permit=permit, timeout_s=timeout_s, more_room=more_room
            )
        raise self._error or ProviderOverloaded(
            "Every vendor for this request is failing; no vendor is called until one has had time to recover.",
            retry_after_s=min(opens_in_s, default=1.0),
        )

    def end_attempt(self, candidate: Candidate, error: BaseException) -> BaseException | None:
        """Return the error that ends the request, or None where another attempt may follow."""
        if not isinstance(error, RayroomError):
            return error
        self._step = self.failover.next_step(self, candidate, error)
        self._error = _for_caller(error, candidate.model)
        return self._error if self._step.kind == "stop" else None


@dataclass(slots=True, kw_only=True)
class Candidate:
    """One attempt to make: its model, the breaker's permit, and the most seconds it may take."""

    run: FailoverRun = field(repr=False)
    model: Model
    breaker: Breaker = field(repr=False)
    permit: Permit
    timeout_s: float
    """The most seconds for the vendor; inside the attempt, without the time that the reservation took."""
    more_room: bool = False
    """Whether the model's last answer was thought only, so that it gets more output tokens."""
    timer: FirstTokenTimer | None = field(default=None, repr=False)
    """Times the first token of a stream."""
    span: Span = field(default=NO_SPAN, repr=False)
    """The attempt's span, below that of its request."""
    failed: bool = False
    """Whether the attempt ended in an error; it was suppressed, for another attempt may follow."""

    def time_first_token(self, effort: Effort | None) -> FirstTokenTimer:
        """Start the timer of a stream's first token."""
        self.timer = self.run.failover.first_token_timer(self, effort)
        return self.timer

    @asynccontextmanager
    async def attempt(self, estimate: Usage) -> AsyncIterator[MeteredAttempt]:
        """Reserve the estimated cost, run the body, settle the actual cost, and report the end to the breaker.

        An error after which another attempt may follow is suppressed; any other one is raised.
        """
        run, failover = self.run, self.run.failover
        metered = failover.meter.attempt(
            run.request.billing,
            self.model,
            estimate,
            run.attempts,
            self.timeout_s,
            run.request.options.service_tier,
        )
        self.span = start_span(f"attempt {self.model.name}")
        started_s = called_s = failover.clock()
        ended: BaseException | None = None
        try:
            async with metered:
                called_s, self.timeout_s = failover.clock(), min(self.timeout_s, run.left_s())
                if self.timeout_s < MIN_ATTEMPT_S:
                    # The reservation took the time that was left for the vendor.
                    raise CostsUnavailable(retry_after_s=1.0)
                self.span.event("reserved")
                yield metered
                self.span.event("answered")
        except BaseException as error:
            ended = error
            if isinstance(error, ProviderError):
                # A replica reports the vendor's time with an answer only; a failure's is measured here.
                run.vendor_s += failover.clock() - called_s
            if isinstance(error, ProviderTimeout) and self.timer is not None:
                self.timer.expire()
        # Reported however the attempt ended, a cancellation included: a probe's permit must come back.
        run.cost_nanousd += metered.cost_nanousd
        end = _attempt_end(self, metered, ended, failover.clock() - started_s)
        failover.report(self, end, ended)
        describe_attempt(self.span, end, run.attempts, metered.intent.event_id)
        self.span.end(ended)
        if ended is not None:
            self.failed = True
            last = run.end_attempt(self, ended)
            if last is not None:
                raise last


def _attempt_end(
    candidate: Candidate, metered: MeteredAttempt, error: BaseException | None, took_s: float
) -> AttemptEnd:
    run, received = candidate.run, metered.received
    return AttemptEnd(
        service=run.request.billing.service,
        tier=run.decision.tier,
        vendor=candidate.model.vendor,
        model=candidate.model.name,
        outcome="ok" if error is None else "cancelled" if is_cancelled(error) else "error",
        code=error.code if isinstance(error, RayroomError) else None,
        took_s=took_s,
        first_token_s=None if candidate.timer is None else candidate.timer.took_s,
        usage=received.usage,
        cost_nanousd=metered.cost_nanousd,
        estimated=metered.estimated,
        service_tier=received.service_tier,
    )


def _for_caller(error: RayroomError, model: Model) -> RayroomError:
    """Return the error as the caller gets it: only the caller can mend a request that a vendor refuses."""
    if not isinstance(error, ProviderRefused) or refusal_cause(error) == "configuration":
        return error
    reason = error.reason or error.facts.get("vendor_code")
    message = f"{model.vendor} refuses the request to {model.name}" + (f": {reason}" if reason else ".")
    kind = ContextTooLong if isinstance(error, ProviderContextTooLong) else RequestRefused
    return kind(message, error.param, **error.facts)
