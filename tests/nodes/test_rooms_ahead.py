"""The number of replicas follows the number of open rooms."""

from __future__ import annotations

from tests.support.eventually import eventually
from tests.support.stack import FAST, running_stack

REPLICAS_TIMEOUT_S = 90.0
ROOMS = 20
AHEAD = {"policy": "rooms-ahead", "max_replicas": 3, "rooms_ahead": {"requests_per_s": 1.0, "poll_every_s": 0.2}}


async def test_replicas_scale_with_open_rooms_before_the_first_frame() -> None:
    with running_stack("app", {**FAST, "scaling": {"vision": AHEAD}}) as stack:
        assert len(stack.processes("ray::ServeReplica:rayroom:vision")) == 1
        for number in range(ROOMS):
            await stack.open_room(f"tenant_acme_{number}")
        await eventually(
            lambda: len(stack.processes("ray::ServeReplica:rayroom:vision")) == AHEAD["max_replicas"],
            REPLICAS_TIMEOUT_S,
        )
