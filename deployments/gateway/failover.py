"""Hand out the attempts of a request: retries, the next candidate model, circuit breakers, and one deadline for all."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from deployments.gateway.metering import Meter, MeteredAttempt
from deployments.gateway.metrics import GatewayMetrics, NoMetrics
from deployments.gateway.models import RoutedRequest
from routing.breaker import Breaker, Breakers, Permit
from routing.catalogue import Catalogue, Model
from routing.errors import CostsUnavailable, ProviderError, ProviderOverloaded, ProviderTimeout, RayroomError
from routing.latency import ModelLatencies
from routing.models import Usage
from routing.retry import SHORTEST_ATTEMPT_S, FailedAttempt, RetrySettings, RetryStep, next_step

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
    ) -> None:
        self.catalogue = catalogue
        self.meter = meter
        self.clock = clock
        self._retries = retries
        self._breakers = breakers
        self._rng = rng
        self._metrics = metrics or NoMetrics()
        self._latencies = ModelLatencies()

    def attempts(self, request: RoutedRequest) -> FailoverRun:
        """Return the request's run; its deadline starts now."""
        return FailoverRun(
            failover=self,
            request=request,
            models=deque(map(self.catalogue.get, request.decision.targets)),
            ends_at_s=self.clock() + request.timeouts.total_s,
        )

    def breaker(self, model: Model) -> Breaker:
        return self._breakers.of(model.vendor, model.name)

    def count_fallback(self, model: Model, to: Model) -> None:
        self._metrics.fell_back(model.name, to.name)

    def report(self, candidate: Candidate, error: BaseException | None, took_s: float) -> None:
        """Report the end of an attempt to its model's breaker; the latency of a success is remembered."""
        model, breaker, now_s = candidate.model, candidate.breaker, self.clock()
        before = breaker.state(now_s)
        breaker.report(candidate.permit, error, now_s)
        if error is None:
            self._latencies.add(model.name, took_s)
        if (after := breaker.state(now_s)) is not before:
            self._metrics.breaker_turned(model.name, after.value)
            log.warning("breaker turned", vendor=model.vendor, model=model.name, state=after.value)

    def next_step(self, run: FailoverRun, model: Model, error: RayroomError) -> RetryStep:
        """Decide the step after a failed attempt: the same model again, the next candidate, or the request's end."""
        failed = FailedAttempt(
            error=error,
            tries=run.tries,
            targets_left=len(run.models),
            left_s=run.left_s(),
            usual_s=self._latencies.median_s(model.name),
            heard=run.streaming,
        )
        step = next_step(failed, self._retries, self._rng)
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

    def redirect(self, models: Iterable[str]) -> None:
        """Send the rest of the request to other models; its deadline, its attempts and its cost go on."""
        self.models = deque(map(self.failover.catalogue.get, models))
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
        if self.left_s() < SHORTEST_ATTEMPT_S:
            raise self._error or ProviderTimeout("No time is left for a vendor call.")
        if step is not None and step.kind == "again" and self._model is not None:
            self.models.appendleft(self._model)
        return self._first_permitted()

    def _first_permitted(self) -> Candidate:
        """Return an attempt at the first model whose breaker permits one; raises ProviderError where none does."""
        now_s, opens_in_s = self.failover.clock(), list[float]()
        given_up = self._model if self._error is not None else None
        while self.models:
            model = self.models.popleft()
            breaker = self.failover.breaker(model)
            permit = breaker.acquire(now_s)
            if permit is None:
                given_up = given_up or model
                opens_in_s.append(breaker.opens_again_in_s(now_s))
                continue
            if given_up is not None and given_up is not model:
                self.failover.count_fallback(given_up, model)
            self.attempts += 1
            self.tries = self.tries + 1 if model is self._model else 1
            self._model = model
            timeout_s = min(self.request.timeouts.attempt_s, self.left_s())
            return Candidate(run=self, model=model, breaker=breaker, permit=permit, timeout_s=timeout_s)
        raise self._error or ProviderOverloaded(
            "Every vendor for this request is failing; no vendor is called until one has had time to recover.",
            retry_after_s=min(opens_in_s, default=1.0),
        )

    def end_attempt(self, candidate: Candidate, error: BaseException | None) -> bool:
        """Return whether another attempt may follow the one that ended with `error`."""
        if not isinstance(error, RayroomError):
            return False
        self._error, self._step = error, self.failover.next_step(self, candidate.model, error)
        return self._step.kind != "stop"


@dataclass(slots=True, kw_only=True)
class Candidate:
    """One attempt to make: its model, the breaker's permit, and the most seconds it may take."""

    run: FailoverRun = field(repr=False)
    model: Model
    breaker: Breaker = field(repr=False)
    permit: Permit
    timeout_s: float
    """The most seconds for the vendor; inside the attempt, without the time that the reservation took."""
    failed: bool = False
    """Whether the attempt ended in an error; it was suppressed, for another attempt may follow."""

    @asynccontextmanager
    async def attempt(self, estimate: Usage) -> AsyncIterator[MeteredAttempt]:
        """Reserve the estimated cost, run the body, settle the actual cost, and report the end to the breaker.

        An error after which another attempt may follow is suppressed; any other one is raised.
        """
        run, failover = self.run, self.run.failover
        metered = failover.meter.attempt(run.request.billing, self.model, estimate, run.attempts, self.timeout_s)
        started_s = called_s = failover.clock()
        ended: BaseException | None = None
        try:
            async with metered:
                called_s, self.timeout_s = failover.clock(), min(self.timeout_s, run.left_s())
                if self.timeout_s < SHORTEST_ATTEMPT_S:
                    # The reservation took the time that was left for the vendor.
                    raise CostsUnavailable(retry_after_s=1.0)
                yield metered
        except BaseException as error:
            ended = error
            if isinstance(error, ProviderError):
                # A replica reports the vendor's time with an answer only; a failure's is measured here.
                run.vendor_s += failover.clock() - called_s
        # Reported however the attempt ended, a cancellation included: a probe's permit must come back.
        run.cost_nanousd += metered.cost_nanousd
        failover.report(self, ended, failover.clock() - started_s)
        if ended is not None:
            self.failed = True
            if not run.end_attempt(self, ended):
                raise ended
