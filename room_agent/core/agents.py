"""Tell the agents of a room apart: their attributes, and which of two of them leaves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

AGENT_NAME_ATTRIBUTE = "lk.agent_name"
"""The SFU writes the agent's name into the token of each job, under this attribute."""
REPLACES_ATTRIBUTE = "rayroom.replaces"
"""The identity of the agent whose room this one takes over. A dispatch carries it, and so does its agent."""
DISPATCH_ATTRIBUTE = "rayroom.dispatch_id"
"""The id of the dispatch that an agent comes of; LiveKit's list of dispatches names their jobs up to 5 s later."""
WATCHING_ATTRIBUTE = "rayroom.watching"
"""Set by a successor once it watches the room, so that its predecessor may leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentAgent:
    """An agent in a room. Only participants of the kind AGENT are agents, whatever their identities say."""

    identity: str
    joined_at_ms: int
    dispatch_id: str = ""
    replaces: str = ""
    watching: bool = False


def departure_reason(own: PresentAgent, others: Iterable[PresentAgent]) -> str | None:
    """Return the reason why an agent must leave the room to `others`, agents of its name; None if it stays.

    The older agent stays. A successor and its predecessor stay together until the successor watches.
    """
    for other in others:
        if other.replaces == own.identity:
            if other.watching:
                return "successor watches"
        elif own.replaces != other.identity and _age_key(other) < _age_key(own):
            return "older agent present"
    return None


def watching_successor(own: PresentAgent, others: Iterable[PresentAgent]) -> str | None:
    """Return the identity of the successor that watches the room by now, or None."""
    return next((other.identity for other in others if other.replaces == own.identity and other.watching), None)


def _age_key(agent: PresentAgent) -> tuple[int, str]:
    return agent.joined_at_ms, agent.identity
