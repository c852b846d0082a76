"""Check that each timeout is shorter than the one around it, so that the inner part can still report its own end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.config.settings import AppSettings
from deployments.common.settings import ServiceSettings
from routing.errors import ConfigurationError

# Copies, which a test compares with the originals: those stand beside Ray and LiveKit, which take seconds to import.
CONNECT_S = 3.0
HANDLE_GRACE_S = 1.0
AGENT_FRAME_S = 60.0
AGENT_OPEN_S = 10.0
AGENT_FIRST_TOKEN_S = 12.0
AGENT_NEXT_TOKEN_S = 10.0
SILENT_ROOM_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NestedTimeout:
    """A timeout and the longer one around it. A setting is named by its key; anything else by its constant."""

    inner: str
    inner_s: float
    outer: str
    outer_s: float

    @property
    def holds(self) -> bool:
        return self.inner_s < self.outer_s

    def problem(self) -> str:
        return f"{self.inner}: {self.inner_s:g} s must be less than {self.outer}, {self.outer_s:g} s."


def check_timeouts(settings: AppSettings) -> None:
    """Raise ConfigurationError that names the key of each timeout which is not shorter than the one around it."""
    problems = [nested.problem() for nested in nested_timeouts(settings) if not nested.holds]
    if problems:
        raise ConfigurationError("\n".join(problems), "args")


def nested_timeouts(settings: AppSettings) -> Iterator[NestedTimeout]:
    """Yield every pair, from the vendor outward to the agent."""
    yield from _service("args.vision", settings.vision)
    yield from _service("args.llm", settings.llm)
    embeddings = settings.embeddings
    yield _pair(
        ("the connection to a vendor", CONNECT_S),
        ("args.embeddings.attempt_timeout_s", embeddings.attempt_timeout_s),
    )
    yield _pair(
        ("args.embeddings.attempt_timeout_s with the handle's grace", embeddings.attempt_timeout_s + HANDLE_GRACE_S),
        ("args.embeddings.total_timeout_s", embeddings.total_timeout_s),
    )
    yield from _agent(settings)
    yield from _bill(settings)


def _service(key: str, service: ServiceSettings) -> Iterator[NestedTimeout]:
    attempt = f"{key}.attempt_timeout_s", service.attempt_timeout_s
    for tier, first_s in (
        ("simple", service.first_token_timeout_s.simple),
        ("complex", service.first_token_timeout_s.complex),
    ):
        first = f"{key}.first_token_timeout_s.{tier}", first_s
        yield _pair(("the connection to a vendor", CONNECT_S), first)
        yield _pair(first, attempt)
    yield _pair((f"{key}.between_tokens_timeout_s", service.between_tokens_timeout_s), attempt)
    # The handle waits a moment longer than the replica, which reports its own timeout.
    yield _pair(
        (f"{attempt[0]} with the handle's grace", attempt[1] + HANDLE_GRACE_S),
        (f"{key}.total_timeout_s", service.total_timeout_s),
    )


def _agent(settings: AppSettings) -> Iterator[NestedTimeout]:
    """Yield the timeouts of the room agent, which has the same ones whatever the router's settings."""
    # A cold tenant, the reservation, all attempts and the settlement.
    bill_s = settings.backend.timeout_s + 2 * settings.costs.timeout_s
    yield _pair(
        (
            "args.vision.total_timeout_s with the tenant, the reservation and the settlement",
            settings.vision.total_timeout_s + bill_s,
        ),
        ("the agent's upload of a frame", AGENT_FRAME_S),
    )
    for tier, first_s in (
        ("simple", settings.llm.first_token_timeout_s.simple),
        ("complex", settings.llm.first_token_timeout_s.complex),
    ):
        yield _pair(
            (f"args.llm.first_token_timeout_s.{tier}", first_s),
            ("the agent's wait for the first token", AGENT_FIRST_TOKEN_S),
        )
    yield _pair(
        ("args.llm.between_tokens_timeout_s", settings.llm.between_tokens_timeout_s),
        ("the agent's wait for the next token", AGENT_NEXT_TOKEN_S),
    )
    opening = "the agent's opening of a room", AGENT_OPEN_S
    yield _pair(("args.backend.timeout_s", settings.backend.timeout_s), opening)
    yield _pair(("args.knowledge.timeout_s", settings.knowledge.timeout_s), opening)
    yield _pair(
        ("args.rooms.heartbeat_every_s", settings.rooms.heartbeat_every_s), ("a silent room's end", SILENT_ROOM_S)
    )


def _bill(settings: AppSettings) -> Iterator[NestedTimeout]:
    costs, backend, rooms = settings.costs, settings.backend, settings.rooms
    yield _pair(("args.costs.timeout_s", costs.timeout_s), ("args.costs.intent_grace_s", costs.intent_grace_s))
    yield _pair(("args.backend.timeout_s", backend.timeout_s), ("args.backend.tenant_stale_s", backend.tenant_stale_s))
    yield _pair(
        ("args.backend.tenant_ttl_s", backend.tenant_ttl_s), ("args.backend.tenant_stale_s", backend.tenant_stale_s)
    )
    yield _pair(
        ("args.rooms.token_ttl_s", rooms.token_ttl_s), ("args.rooms.token_longest_life_s", rooms.token_longest_life_s)
    )


def _pair(inner: tuple[str, float], outer: tuple[str, float]) -> NestedTimeout:
    return NestedTimeout(inner=inner[0], inner_s=inner[1], outer=outer[0], outer_s=outer[1])
