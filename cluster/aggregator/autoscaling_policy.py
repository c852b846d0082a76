"""The policies that `args.scaling` can name, as Serve's controller runs them. cluster.rooms.forecast decides."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import ray
from ray.serve.autoscaling_policy import default_autoscaling_policy
from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy

from cluster.aggregator.actor import find_aggregators
from cluster.config.settings import ScalingSettings
from cluster.rooms.forecast import (
    Deployment,
    DeploymentLoad,
    ReplicaTarget,
    RoomsAheadSettings,
    RoomSignal,
    decide,
    joined_signal,
    room_request_rate,
    updated_answer_s,
)
from routing.errors import ConfigurationError

ROOMS_AHEAD = "cluster.aggregator.autoscaling_policy:RoomsAhead"
# Keys of Serve's policy state.
ANSWER_S = "rooms_ahead_answer_s"
REASON = "why"

Signals = Callable[[], RoomSignal | None]


class RoomsAhead:
    """One deployment's policy. Serve's controller creates it and calls it in its control loop, so it never waits.

    The learned answer time is kept in Serve's policy state. A controller that restarts loses it and the last signal.
    Until the next signal Ray's policy decides, and nothing shrinks before a whole downscale_delay_s has passed.
    """

    def __init__(self, deployment: Deployment, settings: dict[str, Any], signals: Signals | None = None) -> None:
        self._deployment = deployment
        self._settings = RoomsAheadSettings.model_validate(settings)
        self._signals = signals or RoomWatch(self._settings.poll_every_s)

    def __call__(self, ctx: AutoscalingContext) -> tuple[float, dict[str, Any]]:
        signal, config = self._signals(), cast(AutoscalingConfig, ctx.config)
        load = DeploymentLoad(
            target_replicas=ctx.target_num_replicas,
            ongoing=ctx.total_num_requests or 0.0,
            queued=ctx.total_queued_requests or 0.0,
            target_ongoing=config.get_target_ongoing_requests(),
        )
        answer_s = self._answer_s(ctx, signal, load)
        ray_replicas, _ = default_autoscaling_policy(ctx)
        target: ReplicaTarget = decide(signal, self._deployment, load, answer_s, ray_replicas, self._settings)
        return target.replicas, {ANSWER_S: answer_s, REASON: target.reason}

    def _answer_s(self, ctx: AutoscalingContext, signal: RoomSignal | None, load: DeploymentLoad) -> float:
        learned_s: float = (ctx.policy_state or {}).get(ANSWER_S, self._settings.answer_s)
        if signal is None or signal.age_s > self._settings.stale_s:
            return learned_s
        room_rate = room_request_rate(signal, self._deployment, self._settings)
        return learned_s if room_rate is None else updated_answer_s(learned_s, load, room_rate * signal.open_rooms)


class RoomWatch:
    """Poll the aggregator for its signal in a thread, and return the last one without waiting."""

    def __init__(self, every_s: float) -> None:
        self._last: list[tuple[float, RoomSignal]] = []
        self._stop = threading.Event()
        thread = threading.Thread(target=_watch, args=(self._last, self._stop, every_s), daemon=True, name="room-watch")
        thread.start()
        # Serve drops a policy without closing it when its configuration changes; the thread must end with it.
        weakref.finalize(self, self._stop.set)

    def __call__(self) -> RoomSignal | None:
        """Return the last signal with its present age, or None before the first."""
        if not self._last:
            return None
        received_at_s, signal = self._last[0]
        return replace(signal, age_s=time.monotonic() - received_at_s)


def _watch(last: list[tuple[float, RoomSignal]], stop: threading.Event, every_s: float) -> None:
    while not stop.wait(every_s):
        # Outside of a cluster, ray.get_actor would start one.
        if not ray.is_initialized():
            continue
        try:
            sent_at_s = time.monotonic()
            signals = [actor.room_signal.remote() for actor in find_aggregators()]
            if signals:
                last[:] = [(sent_at_s, joined_signal(ray.get(signals, timeout=max(1.0, every_s))))]
        except Exception:
            # After any error the last signal grows stale, and then Ray's own policy decides.
            continue


def autoscaling_policy(deployment: Deployment, scaling: ScalingSettings) -> AutoscalingPolicy:
    """Return the policy for Serve's AutoscalingConfig; raises ConfigurationError for a path that does not import."""
    if scaling.policy == "ray":
        return _policy()
    if scaling.policy == "rooms-ahead":
        kwargs = {"deployment": deployment, "settings": scaling.rooms_ahead.model_dump()}
        return _policy(policy_function=ROOMS_AHEAD, policy_kwargs=kwargs)
    return imported_policy(scaling.policy)


def imported_policy(path: str) -> AutoscalingPolicy:
    """Return a policy by its path `module:attribute`; raises ConfigurationError naming it."""
    try:
        policy = _policy(policy_function=path)
    except Exception as error:
        # Importing runs the code of the policy's module, which may raise anything.
        raise ConfigurationError(f"policy: {path} does not import: {type(error).__name__}: {error}", "policy") from None
    if not callable(policy.get_policy()):
        raise ConfigurationError(f"policy: {path} is not callable; name a class or a function.", "policy")
    return policy


def _policy(**fields: Any) -> AutoscalingPolicy:
    return AutoscalingPolicy(**fields)  # type: ignore[no-untyped-call]
