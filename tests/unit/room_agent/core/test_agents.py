"""Of two agents the younger leaves, unless it takes the room over from the older one."""

from __future__ import annotations

from itertools import combinations

from room_agent.core.agents import PresentAgent, departure_reason


def agent(identity: str, joined_at_ms: int = 0, replaces: str = "", watching: bool = False) -> PresentAgent:
    return PresentAgent(identity=identity, joined_at_ms=joined_at_ms, replaces=replaces, watching=watching)


def test_of_any_agents_exactly_one_stays_whatever_their_ages() -> None:
    agents = [agent("b", 1), agent("a", 1), agent("c", 2), agent("d", 0)]
    for size in (1, 2, 3, 4):
        for present in combinations(agents, size):
            others = {one.identity: [other for other in present if other is not one] for one in present}
            staying = [one for one in present if departure_reason(one, others[one.identity]) is None]
            assert len(staying) == 1
            assert staying[0] == min(present, key=lambda one: (one.joined_at_ms, one.identity))


def test_a_predecessor_leaves_only_when_its_successor_watches() -> None:
    old, new = agent("old", 1), agent("new", 2, replaces="old")
    assert departure_reason(old, [new]) is None and departure_reason(new, [old]) is None
    watching = agent("new", 2, replaces="old", watching=True)
    assert departure_reason(old, [watching]) == "successor watches"
    assert departure_reason(watching, [old]) is None


def test_a_successor_of_somebody_else_is_a_second_agent() -> None:
    assert departure_reason(agent("new", 2, replaces="gone"), [agent("old", 1)]) == "older agent present"
