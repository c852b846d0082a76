"""Ray's own autoscaler, driven by virtual time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
import ray
from ray.serve.config import AutoscalingConfig

from routing.errors import ConfigurationError


@dataclass(slots=True)
class VirtualClock:
    """Seconds since the simulation began, with the two names of `time` that Ray's modules read."""

    now_s: float = 0.0

    def time(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.now_s


_STATE = "ray.serve._private.autoscaling_state"
_POLICY = "ray.serve.autoscaling_policy"
_COMMON = "ray.serve._private.common"
_CONFIG = "ray.serve._private.config"
_INFO = "ray.serve._private.deployment_info"
_CONSTANTS = "ray.serve._private.constants"

NAMES = (
    f"{_STATE}:DeploymentAutoscalingState._collect_replica_running_requests",
    f"{_STATE}:DeploymentAutoscalingState.get_decision_num_replicas",
    f"{_STATE}:DeploymentAutoscalingState.get_last_decision_total_num_requests",
    f"{_STATE}:DeploymentAutoscalingState.drop_stale_handle_metrics",
    f"{_STATE}:DeploymentAutoscalingState.record_request_metrics_for_handle",
    f"{_STATE}:DeploymentAutoscalingState.record_scale_down",
    f"{_STATE}:DeploymentAutoscalingState.record_scale_up",
    f"{_STATE}:DeploymentAutoscalingState.register",
    f"{_STATE}:DeploymentAutoscalingState.update_running_replica_ids",
    f"{_STATE}:time",
    f"{_POLICY}:_apply_autoscaling_config",
    f"{_POLICY}:time",
    f"{_COMMON}:DeploymentHandleSource.UNKNOWN",
    f"{_COMMON}:DeploymentID",
    f"{_COMMON}:HandleMetricReport",
    f"{_COMMON}:ReplicaID",
    f"{_COMMON}:RUNNING_REQUESTS_KEY",
    f"{_COMMON}:TimeStampedValue",
    f"{_CONFIG}:DeploymentConfig",
    f"{_CONFIG}:ReplicaConfig.create",
    f"{_INFO}:DeploymentInfo",
    f"{_CONSTANTS}:RAY_SERVE_AUTOSCALING_METRIC_RECORD_INTERVAL_FACTOR",
)
"""The private names of Ray in use, so that a test can name the one that an upgrade moved."""


def find(name: str) -> Any:
    """Return the object at `module:attribute.attribute` in Ray; raises ConfigurationError naming the path."""
    module, _, path = name.partition(":")
    try:
        value: Any = import_module(module)
        for step in path.split("."):
            value = getattr(value, step)
    except (ImportError, AttributeError):
        raise ConfigurationError(f"Ray {ray.__version__} has no {name}, which the simulator drives.", "ray") from None
    return value


@contextmanager
def virtual_time(clock: VirtualClock) -> Iterator[None]:
    """Make Ray's autoscaler read `clock` inside the block, and the machine's clock after it."""
    modules = [import_module(_STATE), import_module(_POLICY)]
    originals = [find(f"{module.__name__}:time") for module in modules]
    try:
        for module in modules:
            setattr(module, "time", clock)  # noqa: B010 - a name that Ray's stubs do not promise
        yield
    finally:
        for module, original in zip(modules, originals, strict=True):
            setattr(module, "time", original)  # noqa: B010


@dataclass(slots=True)
class _Handle:
    """The samples of one router's handle, and the times of its next sample and push."""

    name: str
    sample_at_s: float
    push_at_s: float
    samples: deque[tuple[float, float, float]] = field(default_factory=deque)
    """Time, queued requests, running requests."""


class RayAutoscaler:
    """One deployment's autoscaler as the controller runs it, fed by the handles of `handles` routers.

    A handle reports one series a replica. Here the first replica's series carries all requests of a handle and the
    newest one's carries zeros: Ray merges them to the same sum over the same window, which begins with the youngest
    series. A thousand replicas therefore cost no more than two.
    """

    def __init__(
        self,
        name: str,
        config: AutoscalingConfig,
        clock: VirtualClock,
        rng: np.random.Generator,
        *,
        replicas: int,
        handles: int = 1,
        policy: Callable[..., Any] | None = None,
    ) -> None:
        self._clock = clock
        self._config = config
        self._id = find(f"{_COMMON}:DeploymentID")(name=name, app_name="rayroom")
        self._state = _state(self._id)
        self.replicas: int = self._state.register(_info(config), replicas)
        """The target number of replicas."""
        if policy is not None:
            self._state._policy = find(f"{_POLICY}:_apply_autoscaling_config")(policy)
        factor = find(f"{_CONSTANTS}:RAY_SERVE_AUTOSCALING_METRIC_RECORD_INTERVAL_FACTOR")
        self._sample_every_s = min(factor * config.look_back_period_s, config.metrics_interval_s)
        phases_s = rng.random((handles, 2)) * (self._sample_every_s, config.metrics_interval_s)
        self._handles = [_Handle(f"handle-{at}", sample, push) for at, (sample, push) in enumerate(phases_s.tolist())]
        self._ids: list[Any] = []
        self._newest_since_s = 0.0

    def set_running(self, replicas: int) -> None:
        """Set the number of replicas that take requests; the newest ones stop first."""
        if replicas == len(self._ids):
            return
        if replicas > len(self._ids):
            self._newest_since_s = self._clock.now_s
        replica = find(f"{_COMMON}:ReplicaID")
        self._ids = [*self._ids, *(replica(str(at), self._id) for at in range(len(self._ids), replicas))][:replicas]
        self._state.update_running_replica_ids(self._ids)

    def observe(self, queued: float, running: float) -> None:
        """Let each handle that is due sample its part of the requests, and push."""
        now_s, part = self._clock.now_s, 1 / len(self._handles)
        for handle in self._handles:
            if now_s >= handle.sample_at_s:
                handle.sample_at_s += self._sample_every_s
                handle.samples.append((now_s, queued * part, running * part))
            if now_s >= handle.push_at_s:
                handle.push_at_s += self._config.metrics_interval_s
                self._push(handle, queued * part)

    def decide(self) -> tuple[int, str]:
        """Run Ray's control loop once; return the target, and the policy's reason if it gives one."""
        self._state.drop_stale_handle_metrics(set())
        before, self.replicas = self.replicas, self._state.get_decision_num_replicas(self.replicas)
        if self.replicas > before:
            self._state.record_scale_up()
        elif self.replicas < before:
            self._state.record_scale_down()
        reason = (self._state._policy_state or {}).get("why")
        return self.replicas, reason or f"ray: {self.demand:.1f} ongoing and queued"

    @property
    def demand(self) -> float:
        """The requests behind the last decision."""
        return float(self._state.get_last_decision_total_num_requests())

    def _push(self, handle: _Handle, queued: float) -> None:
        now_s = self._clock.now_s
        while handle.samples and handle.samples[0][0] < now_s - self._config.look_back_period_s:
            handle.samples.popleft()
        value = find(f"{_COMMON}:TimeStampedValue")
        series = {}
        if self._ids:
            series[self._ids[0].to_full_id_str()] = [value(at_s, count) for at_s, _, count in handle.samples]
        if len(self._ids) > 1:
            zeros = [value(at_s, 0.0) for at_s, _, _ in handle.samples if at_s >= self._newest_since_s]
            series[self._ids[-1].to_full_id_str()] = zeros
        self._state.record_request_metrics_for_handle(
            find(f"{_COMMON}:HandleMetricReport")(
                deployment_id=self._id,
                handle_id=handle.name,
                actor_id="",
                handle_source=find(f"{_COMMON}:DeploymentHandleSource.UNKNOWN"),
                queued_requests=[value(at_s, count) for at_s, count, _ in handle.samples] or [value(now_s, queued)],
                metrics={find(f"{_COMMON}:RUNNING_REQUESTS_KEY"): series},
                timestamp=now_s,
            )
        )


def _state(deployment_id: Any) -> Any:
    """Return the deployment's state without its walk over all replicas: here only the handles report."""
    parent: Any = find(f"{_STATE}:DeploymentAutoscalingState")
    state = type("State", (parent,), {"_collect_replica_running_requests": lambda _: []})
    return state(deployment_id)


def _info(config: AutoscalingConfig) -> Any:
    return find(f"{_INFO}:DeploymentInfo")(
        deployment_config=find(f"{_CONFIG}:DeploymentConfig")(num_replicas=None, autoscaling_config=config),
        replica_config=find(f"{_CONFIG}:ReplicaConfig.create")(_nothing),
        start_time_ms=0,
        deployer_job_id="simulation",
    )


def _nothing() -> None: ...
