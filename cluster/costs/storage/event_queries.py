"""The statements that write and find single events, and the values they take."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from cluster.costs.storage.schema import EVENT, IDENTITY, USAGE

_OPEN = ("event_id", *IDENTITY, "expires_at_s")
intent_values = attrgetter(*(name for name in IDENTITY if name != "arrived_at_s"))
usage_values = attrgetter(*USAGE)


def _marks(names: Iterable[str]) -> str:
    return ", ".join("?" for _ in names)


ADD_INTENT = f"""INSERT INTO open_events ({", ".join(_OPEN)})
    SELECT {", ".join(f"?{number}" for number in range(1, len(_OPEN) + 1))}
    WHERE NOT EXISTS (SELECT 1 FROM settled WHERE event_id = ?1) ON CONFLICT (event_id) DO NOTHING"""
REMOVE_INTENT = "DELETE FROM open_events WHERE event_id = ? RETURNING tenant_id, estimate_nanousd"
_BOOKED = ("booked_at_s", "day", "month", "outcome", "knowledge", "requests", "estimated", "cost_nanousd", *USAGE)
BOOK = f"""INSERT INTO settled (event, event_id, {", ".join((*IDENTITY, *_BOOKED))})
    SELECT ?, event_id, {", ".join(IDENTITY)}, {_marks(_BOOKED)} FROM open_events WHERE event_id = ?"""
DELETE_OPEN = """DELETE FROM open_events WHERE event_id = ?
    RETURNING tenant_id, service, model, simulated, estimate_nanousd, room, arrived_at_s, witnessed"""
FIND = f"SELECT event, {', '.join(EVENT)} FROM settled WHERE event_id = ?"
_FIGURES = ("outcome", "knowledge", "estimated", "cost_nanousd", *USAGE)
REPLACE = f"UPDATE settled SET {', '.join(f'{name} = ?' for name in _FIGURES)} WHERE event = ?"
INSERT = f"INSERT INTO settled (event, {', '.join(EVENT)}) VALUES (?, {_marks(EVENT)})"
ESTIMATED = """SELECT event_id, outcome, knowledge, arrived_at_s, witnessed FROM settled
    WHERE corrects IS NULL AND knowledge < ? AND arrived_at_s > ? ORDER BY event"""
EXPIRED = """SELECT event_id, tenant_id, model, estimate_nanousd, arrived_at_s, witnessed FROM open_events
    WHERE expires_at_s <= ? ORDER BY expires_at_s LIMIT ?"""
COST_SHARES = """SELECT model, min(1.0, 1.0 * sum(cost_nanousd) / sum(estimate_nanousd)) FROM (
        SELECT model, cost_nanousd, estimate_nanousd, outcome, estimated, requests FROM settled
        ORDER BY event DESC LIMIT 1000)
    WHERE outcome = 'ok' AND estimated = 0 AND requests = 1 AND estimate_nanousd > 0 GROUP BY model"""
