"""The assumptions of the simulator, each figure with its source. `--set model.NAME=VALUE` changes one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from deployments.common.settings import Settings
from routing.validation import Seconds

Milliseconds = Annotated[float, Field(ge=0, le=60_000)]


class Assumptions(Settings):
    """The machine and the application as the simulation models them."""

    tick_s: Annotated[float, Field(ge=0.01, le=0.2)] = 0.1
    """The step of virtual time: Serve's control loop. No room has two frames within it."""
    cold_start_from_s: Seconds = 1.3
    cold_start_to_s: Seconds = 1.5
    """The time of a replica that starts alone, from the decision to its first request: 1.3 to 1.5 s on an idle machine
    of 4 cores, measured with Ray 2.60."""
    starts_at_once: Annotated[float, Field(gt=0)] = 2
    """The number of replicas that start at full speed; more share it. Six at once on 4 cores take 2 to 4.4 s, so half
    a core each."""
    own_ms: Milliseconds = 8.0
    """The median time of a lone request beside the vendor: 9.5 ms with the bill on 2 cores shared with the load
    (docs/measurements.md, requests through the whole path)."""
    own_sigma: Annotated[float, Field(ge=0, le=3)] = 0.25
    """The p95 of that time: 13.5 ms, from the same table."""
    request_cpu_ms: Milliseconds = 5.0
    """The CPU time of a request in all processes of the application: 369 requests a second filled 2 cores."""
    cpus: Annotated[float, Field(gt=0)] | None = None
    """The cores of the application. If None, cores are unlimited and nothing slows down."""
    replica_cpu_ms: Milliseconds = 1.0
    """The part of the CPU time that one model replica uses itself, on the one core that Python uses."""
    vendor_free: Annotated[int, Field(ge=0)] | None = None
    """The number of requests that a vendor serves at full speed, by service; unlimited where absent."""
    vendor_doubles: Annotated[int, Field(ge=1)] = 64
    """The number of further requests that doubles the vendor's time, as the emulator's `--capacity`."""
    question_tokens: Annotated[int, Field(ge=1)] = 600
    """The size of a question with its context; assumed."""

    @model_validator(mode="after")
    def _check_cold_start(self) -> Assumptions:
        if self.cold_start_to_s < self.cold_start_from_s:
            raise ValueError(f"cold_start_to_s {self.cold_start_to_s} is less than {self.cold_start_from_s}")
        return self
