"""Leads one request from target to target: leave of the breakers, retries, fallback, one deadline. Asks no vendor."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog

from deployments.gateway.metrics import GatewayMetrics, NoMetrics
from routing.breaker import Breaker, Breakers, Permit
from routing.catalogue import Model
from routing.deadline import Deadline
from routing.errors import ProviderOverloaded, ProviderTimeout, RayroomError
from routing.latency import RecentLatencies, TargetLatencies
from routing.retry import SHORTEST_ATTEMPT_S, FailedAttempt, RetrySettings, RetryStep, next_step

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
